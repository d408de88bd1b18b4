"""A project that includes none of the app's addresses."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
