# An image whose containers are agents, or compute one step in a pool of Kubernetes or Docker (docs/operate.md, "Steps in containers").
# In the workspace's root:
#   docker build -f flows/agent.Dockerfile --build-arg REGRAFT="regraft[s3] @ git+https://git.example/team/regraft" -t registry.example/regraft-agent:1 .
# hadolint 2.15.1 finds nothing in it. It was not built where it was written: there is no Docker there.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm
# Add `--index-url ...` for another build than the one with CUDA that the package index has for Linux.
ARG TORCH="torch==2.13.0"
ARG REGRAFT
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 REGRAFT_WORKSPACE=/workspace

# git clones what was deployed; tini collects what a killed step leaves, which the first process of a container has to.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home agent \
 && install --directory --owner agent /workspace

# hadolint ignore=DL3013,SC2086
RUN pip install ${TORCH} && pip install "${REGRAFT:?say --build-arg REGRAFT=...}"

COPY --chown=agent . /workspace
WORKDIR /workspace
# By number: Kubernetes sees in it that this is not root.
USER 1000
ENTRYPOINT ["tini", "--"]
CMD ["regraft", "agent", "start"]
