"""Addresses of the app's own pages."""

from django.urls import path

from usage_billing.pages import costs, record

urlpatterns = [
    path("superadmin/ai-costs", costs.superadmin_costs, name="ai-costs"),
    path("superadmin/ai-costs/", costs.superadmin_costs),
    path("usage/", costs.own_costs, name="usage"),
    path("usage", costs.own_costs),
    path("usage/calls/<int:id>", record.own_record, name="call"),
    path("usage/calls/<int:id>/", record.own_record),
]
