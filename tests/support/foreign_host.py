"""The files of a host project that shares nothing with our service.

Its user model has UUID keys and logs in by e-mail. It has its own organisations, Django's plain admin, its own defaults
for DRF, two PostgreSQL databases with a router, and pages in German. Its tables, names and settings would collide with
careless ones of ours.
"""

SETTINGS = """
    import os
    from pathlib import Path

    BASE_DIR = Path(__file__).parent
    SECRET_KEY = "of a foreign project, and long enough to sign what it signs"
    DEBUG = False
    ALLOWED_HOSTS = ["testserver"]
    ROOT_URLCONF = "urls"
    USE_TZ = True
    TIME_ZONE = "Europe/Berlin"
    LANGUAGE_CODE = "de"
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
    AUTH_USER_MODEL = "company.Person"
    LOGIN_URL = "/anmelden/"
    STATIC_URL = "/static/"
    INSTALLED_APPS = [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "rest_framework",
        "company",
        "usage_billing",
    ]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "usage_billing.recording.middleware.UsageContextMiddleware",
    ]
    TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ]

    def postgres(name):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ["POSTGRES_PORT"],
            "USER": "host",
            "PASSWORD": "host",
            "NAME": name,
        }

    DATABASES = {"default": postgres("host"), "costs": postgres("costs")}
    DATABASE_ROUTERS = ["routers.Costs"]
    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_RENDERER_CLASSES": ["company.rest.PlainRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
        "EXCEPTION_HANDLER": "company.rest.explain",
    }
    SIMPLE_JWT = {"USER_ID_CLAIM": "person", "ALGORITHM": "HS512"}
    AI_COSTS = {
        "ORGANIZATION_RESOLVER": "company.costs.organization",
        "ROW_LEVEL_SECURITY": os.environ.get("SECURED") == "1",
        "ROLE_PREFIX": "host_costs",
        "DRAIN": "off",
    }
"""

ROUTERS = """
    class Costs:
        def _database(self, label):
            return "costs" if label == "usage_billing" else "default"

        def db_for_read(self, model, **hints):
            return self._database(model._meta.app_label)

        db_for_write = db_for_read

        def allow_migrate(self, db, app_label, **hints):
            return db == self._database(app_label)
"""

MODELS = """
    import uuid

    from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
    from django.db import models


    class People(BaseUserManager):
        def create_user(self, email, password=None, **fields):
            person = self.model(email=email, **fields)
            person.set_password(password)
            person.save()
            return person


    class Person(AbstractBaseUser, PermissionsMixin):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        email = models.EmailField(unique=True)
        is_staff = models.BooleanField(default=False)
        is_active = models.BooleanField(default=True)

        USERNAME_FIELD = "email"
        objects = People()


    class Company(models.Model):
        name = models.CharField(max_length=100)

        class Meta:
            db_table = "organization"


    class Membership(models.Model):
        org = models.ForeignKey(Company, models.CASCADE, related_name="memberships")
        user = models.ForeignKey(Person, models.CASCADE, related_name="memberships")

        class Meta:
            db_table = "membership"


    class Invoice(models.Model):
        org = models.ForeignKey(Company, models.CASCADE)
        amount = models.IntegerField()
"""

ADMIN = """
    from django.contrib import admin
    from django.contrib.auth.models import Group

    from company.models import Company, Person


    @admin.register(Person)
    class PersonAdmin(admin.ModelAdmin):
        list_display = ("email", "is_staff")
        search_fields = ("email",)


    admin.site.register(Company)
"""

REST = """
    from rest_framework.renderers import BaseRenderer
    from rest_framework.response import Response


    class PlainRenderer(BaseRenderer):
        media_type = "text/plain"
        format = "txt"

        def render(self, data, accepted_media_type=None, renderer_context=None):
            return f"HOST {data}".encode()


    def explain(error, context):
        return Response("refused", status=418)
"""

API = """
    from rest_framework.response import Response
    from rest_framework.views import APIView


    class Invoices(APIView):
        def get(self, request):
            return Response("invoices")
"""

COSTS = """
    from usage_billing.recording import OrganizationKey


    def organization(company):
        return OrganizationKey(key=f"company-{company.pk}", name=company.name, timezone="Europe/Berlin")
"""

VIEWS = """
    from django.db import transaction
    from django.http import HttpResponse

    from ai_clients import OpenAI
    from company.models import Company, Invoice
    from usage_billing import usage_context


    def write_invoice(request):
        with transaction.atomic(durable=True):
            company = Company.objects.get(name="Acme")
            Invoice.objects.create(org=company, amount=7)
        with usage_context(org=company, agent_id="clerk", request_type="invoice"):
            OpenAI().chat.completions.create(
                model="gpt-4.1-mini", messages=[{"role": "user", "content": "Write an invoice."}]
            )
        return HttpResponse(f"{Invoice.objects.count()} invoices")
"""

URLS = """
    from django.contrib import admin
    from django.urls import include, path

    from company import api, views

    urlpatterns = [
        path("verwaltung/", admin.site.urls),
        path("rechnung/", views.write_invoice, name="usage"),
        path("api/invoices/", api.Invoices.as_view(), name="usage-summary"),
        path("", include("usage_billing.urls")),
    ]
"""

TESTS = """
    from django.test import TestCase

    from ai_clients import OpenAI
    from usage_billing.models import UsageRecord
    from usage_billing.recording import health


    class InvoiceTests(TestCase):
        databases = {"default", "costs"}

        def test_nothing_of_the_real_outbox_comes_here(self):
            from django.core.management import call_command

            try:
                call_command("drain_usage")
            except BaseException as refused:
                print("refused:", refused)
            self.assertEqual(UsageRecord.objects.count(), 0)
"""

FILES = {
    "settings.py": SETTINGS,
    "routers.py": ROUTERS,
    "urls.py": URLS,
    "company/__init__.py": "",
    "company/models.py": MODELS,
    "company/admin.py": ADMIN,
    "company/api.py": API,
    "company/rest.py": REST,
    "company/costs.py": COSTS,
    "company/views.py": VIEWS,
    "company/tests.py": TESTS,
    "company/migrations/__init__.py": "",
}
