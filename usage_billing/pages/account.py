"""The person's account: password, e-mail address, choices, and open sessions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView, PasswordResetView
from django.core.mail import send_mail
from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.translation import get_language, gettext, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django.views.generic import FormView

from usage_billing.auth import sessions
from usage_billing.auth.client_address import client_address
from usage_billing.auth.limits import Limit, digest, give_back, take
from usage_billing.auth.login_throttling import too_many_attempts
from usage_billing.auth.session_store import SessionStore
from usage_billing.conf import conf
from usage_billing.pages import hooks, shell

logger = logging.getLogger(__name__)


# ── Sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────


@require_safe
@never_cache
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """List the person's sessions, with a link to change the password."""
    listed = sessions.live_sessions(_person(request))
    context = {
        "title": gettext("Your account"),
        "sessions": listed,
        "this": _row_key(request),
        "choices": [choice for choices in hooks.account_choices for choice in choices(request.user)],
    }
    return render(request, "usage_billing/account.html", context)


@require_POST
@never_cache
@login_required
def save_choices(request: HttpRequest) -> HttpResponse:
    """Save the choices of the account page."""
    for choices in hooks.account_choices:
        for choice in choices(request.user):
            choice.write(choice.name in request.POST)
    messages.success(request, gettext("Saved."))
    return redirect("account")


@require_POST
@never_cache
@login_required
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End the session named in the form, or all other sessions if none is named."""
    person, this = _person(request), _row_key(request)
    if not (key := request.POST.get("session", "")):
        sessions.end_other_sessions(person, this)
        messages.success(request, gettext("All your other sessions have ended."))
    elif key == this:
        raise Http404  # one ends the current session by logging out
    elif sessions.end_session(person, key):
        messages.success(request, gettext("The session has ended."))
    return redirect("account")


def _person(request: HttpRequest) -> User:
    return cast("User", request.user)  # `login_required` lets no anonymous in


def _row_key(request: HttpRequest) -> str | None:
    store = request.session
    return store.row_key if isinstance(store, SessionStore) else None


# ── Passwords ────────────────────────────────────────────────────────────────────────────────────────────────────


class PasswordChange(PasswordChangeView):
    """Change the password and end all other sessions, which were opened with the old one."""

    template_name = "usage_billing/account_form.html"
    success_url = reverse_lazy("account")
    extra_context = {"title": _("Change your password"), "submit": _("Change the password")}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _with_password(self, request)

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        sessions.end_other_sessions(_person(self.request), _row_key(self.request))
        messages.success(self.request, gettext("Your password is changed. All your other sessions have ended."))
        return response


def _with_password(view: Any, request: HttpRequest) -> HttpResponse:
    """Answer a form with the field `old_password`.

    Without a limit, a person at somebody else's open browser could guess the password here.
    """
    limit = Limit(f"password-change:{request.user.pk}", settings.AXES_FAILURE_LIMIT, settings.AXES_COOLOFF_TIME)
    if seconds := take(limit):
        return too_many_attempts(request, gettext("The old password was wrong too often."), seconds)
    form = view.get_form()
    is_valid = form.is_valid()
    if "old_password" in form.cleaned_data:
        give_back(limit)
    response: HttpResponse = view.form_valid(form) if is_valid else view.form_invalid(form)
    return response


class EmailForm(forms.Form):
    """A new e-mail address, with the password: a link to choose a new password is sent to it."""

    email = forms.EmailField(label=_("E-mail address"), max_length=254)
    old_password = forms.CharField(
        label=_("Your password"), widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_old_password(self) -> str:
        password: str = self.cleaned_data["old_password"]
        if not self.user.check_password(password):
            raise forms.ValidationError(gettext("This is not your password."))
        return password


class EmailChange(LoginRequiredMixin, FormView):  # type: ignore[type-arg]  # Django has no generic view at run time
    """Change the e-mail address; the old one is told, in case somebody else did it."""

    form_class = EmailForm
    template_name = "usage_billing/account_form.html"
    success_url = reverse_lazy("account")
    extra_context = {"title": _("Change your e-mail address"), "submit": _("Save the address")}

    def get_initial(self) -> dict[str, Any]:
        return {"email": _person(self.request).email}

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": _person(self.request)}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return _with_password(self, request)

    def form_valid(self, form: EmailForm) -> HttpResponse:
        person, before = form.user, form.user.email
        if before != (address := form.cleaned_data["email"]):
            person.email = address
            person.save(update_fields=["email"])
            if before:
                subject = gettext("Your e-mail address was changed")
                text = gettext(
                    "The e-mail address of your account %(name)s at AI costs was changed to %(address)s. If this was "
                    "not you, tell your administrator at once."
                ) % {"name": person.get_username(), "address": address}
                _in_thread(partial(send_mail, subject, text, None, [before]), "The notice of a changed e-mail address")
        messages.success(self.request, gettext("Your e-mail address is saved."))
        return super().form_valid(form)


def _in_thread(send: Callable[[], object], what: str) -> None:
    """Send an e-mail beside the request, so that the answer does not wait for the mail server."""

    def run() -> None:
        try:
            send()
        except Exception:
            logger.exception("%s was not sent.", what)
        finally:
            connections.close_all()

    threading.Thread(target=run, name="e-mail").start()


class ResetForm(PasswordResetForm):
    """Sends its e-mail in a thread, so that the answer takes the same time for an unknown address."""

    def save(self, **options: Any) -> None:  # type: ignore[override]  # by these names it is called by the view alone
        language = get_language()

        def send() -> None:
            with override(language):
                super(ResetForm, self).save(**options)

        _in_thread(send, "An e-mail with a link to choose a new password")


class PasswordReset(PasswordResetView):
    """Send a link to choose a new password; the answer does not tell whether the address is known.

    The link leads to PUBLIC_URL, not to the host that the request names. Without PUBLIC_URL the page answers 404.
    """

    template_name = "usage_billing/account_form.html"
    email_template_name = "usage_billing/password_reset_email.txt"
    subject_template_name = "usage_billing/password_reset_subject.txt"
    form_class = ResetForm
    success_url = reverse_lazy("login")
    extra_context = {
        "title": _("Forgot your password?"),
        "text": _("We will send a link to the e-mail address of your account. It lets you choose a new password."),
        "submit": _("Send the link"),
    }

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not conf.PUBLIC_URL:
            text = gettext("Passwords cannot be reset by e-mail here. Ask your administrator for a new one.")
            return shell.not_found(self.request, text)
        return super().dispatch(*args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        hour = timedelta(hours=1)
        address = client_address(self.request) or ""
        of_address = Limit(f"reset-address:{address}", conf.PASSWORD_RESETS_PER_ADDRESS, hour)
        if seconds := take(of_address):
            return too_many_attempts(self.request, gettext("Too many links were asked for from your address."), seconds)
        email = form.cleaned_data["email"].casefold()
        # Over the limit nothing is sent, with the same answer: the mailbox already has links.
        if not take(Limit(f"reset-account:{digest(email)}", conf.PASSWORD_RESETS_PER_ACCOUNT, hour)):
            public = urlsplit(conf.PUBLIC_URL)
            form.save(
                domain_override=public.netloc,
                use_https=public.scheme == "https",
                email_template_name=self.email_template_name,
                subject_template_name=self.subject_template_name,
                extra_email_context={"prefix": public.path},
            )
        messages.success(
            self.request,
            gettext(
                "If there is an account with this e-mail address, a link is on its way. It is good for three hours."
            ),
        )
        return HttpResponseRedirect(reverse("login"))


class PasswordResetConfirm(PasswordResetConfirmView):
    """Set a new password by the link of the e-mail, log the person in, and end all other sessions."""

    template_name = "usage_billing/account_form.html"
    success_url = reverse_lazy("home")
    post_reset_login = True
    post_reset_login_backend = "django.contrib.auth.backends.ModelBackend"
    extra_context = {"submit": _("Save the password")}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if not self.validlink:
            context["text"] = gettext("This link has been used or is too old. Ask for a new one.")
            context["form"] = None
        return context | {"title": gettext("Choose a new password")}

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        sessions.end_other_sessions(form.user, _row_key(self.request))
        return response
