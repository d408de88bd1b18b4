"""Addresses of the service's shell: home, log-in, account and language. A host project has its own."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from usage_billing.pages import account, shell
from usage_billing.tenancy.scope import outside_scope

urlpatterns = [
    path("", shell.home, name="home"),
    path("login/", outside_scope(shell.LogIn.as_view()), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", outside_scope(account.account), name="account"),
    path("account/sessions/end/", outside_scope(account.end_sessions), name="end-sessions"),
    path("account/choices/", outside_scope(account.save_choices), name="account-choices"),
    path("account/email/", outside_scope(account.EmailChange.as_view()), name="email-change"),
    path("account/password/", outside_scope(account.PasswordChange.as_view()), name="password-change"),
    path("account/password/reset/", outside_scope(account.PasswordReset.as_view()), name="password-reset"),
    path(
        "account/password/reset/<uidb64>/<token>/",
        outside_scope(account.PasswordResetConfirm.as_view()),
        name="password_reset_confirm",
    ),
    # The admin's own page has no limit on guesses of the old password. Its log-in page links to the reset by name.
    path("superadmin/password_change/", RedirectView.as_view(pattern_name="password-change")),
    path(
        "superadmin/password_reset/", RedirectView.as_view(pattern_name="password-reset"), name="admin_password_reset"
    ),
    path("i18n/", include("django.conf.urls.i18n")),
]
