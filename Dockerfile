# One image for the web, the drain, the migration and cron; compose.yaml sets the command of each.
FROM python:3.13-slim

LABEL org.opencontainers.image.title="AI Costs" org.opencontainers.image.licenses="MIT"

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /srv/ai-costs

COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt

COPY manage.py pyproject.toml ./
COPY config config
COPY templates templates
COPY usage_billing usage_billing
COPY ai_clients ai_clients
COPY deploy deploy

# Static files are in the image. The outbox is on a volume, which inherits this folder's owner and mode.
RUN useradd --system --uid 10001 ai-costs && install --directory --owner=ai-costs --mode=700 /var/lib/ai-costs \
    && STATIC_ROOT=/srv/ai-costs/static python manage.py collectstatic --noinput --verbosity 0
USER ai-costs
ENV STATIC_ROOT=/srv/ai-costs/static USAGE_OUTBOX_PATH=/var/lib/ai-costs/outbox

EXPOSE 8000
CMD ["gunicorn", "config.wsgi", "--config=deploy/gunicorn.conf.py", "--bind=0.0.0.0:8000"]
