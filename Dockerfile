# One image, three roles; docker-compose.yml names the command of each. docs/decisions/0006-image.md says why it is as it is.
FROM docker.io/library/python:3.11-slim-bookworm AS builder
RUN python -m venv --without-pip /opt/venv
COPY requirements.lock /tmp/
# Wheels only: nothing is compiled and no package's set-up code runs. The venv gets no pip, so the image has no installer
# of its own beside the base image's.
RUN pip --python /opt/venv/bin/python --no-cache-dir --disable-pip-version-check \
    install --require-hashes --only-binary :all: -r /tmp/requirements.lock

FROM docker.io/library/python:3.11-slim-bookworm
# /data belongs to the user in the image, so a new volume mounted there does too.
RUN groupadd --gid 10001 monitor \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin monitor \
    && install -d -o monitor -g monitor -m 700 /data
COPY --from=builder /opt/venv /opt/venv
WORKDIR /app
COPY .streamlit .streamlit
COPY app.py ./
COPY monitor_core monitor_core
COPY pages pages
COPY simulator simulator
# Compiled here, because a read-only root has no room for it later.
RUN /opt/venv/bin/python -m compileall -q .
# HOME is writable under a read-only root: Streamlit looks for its own folder there. Numerical libraries would start a thread
# for each core of the machine, whatever the container may use.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    DATA_DIR=/data \
    OMP_NUM_THREADS=2 \
    OPENBLAS_NUM_THREADS=2
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/-/ready', timeout=4)"]
CMD ["python", "-m", "monitor_core", "--host", "0.0.0.0", "--port", "8000"]
