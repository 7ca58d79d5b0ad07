# dcvc for CPUs in a container of its own:
#     docker build -t dcvc .
#     docker run --rm -v "$PWD:/clips" dcvc encode in.y4m -o out.dcvc
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ cmake ninja-build && rm -rf /var/lib/apt/lists/*
COPY . /src
RUN pip wheel --no-cache-dir --no-deps -w /wheels /src

FROM python:3.12-slim
# Where a mirror keeps CPU builds of PyTorch, which are a tenth of the size, name it here.
ARG PIP_EXTRA_INDEX_URL=
COPY --from=build /wheels /wheels
RUN wheel=$(ls /wheels/dcvc-*.whl) && pip install --no-cache-dir "$wheel[video]" && rm -r /wheels && dcvc doctor
# Weights that `dcvc models add` keeps, on a volume where they should outlive the container.
ENV DCVC_HOME=/var/lib/dcvc
WORKDIR /clips
# Whoever decodes what others send sets limits: docker run -e DCVC_MAX_MEMORY=2G ...
USER 1000
ENTRYPOINT ["dcvc"]
