# The image: one static program, the CAs of the public internet, and a directory for the state. No shell, no package
# manager, no library. docs/operations.md says how to run it.
#
#     docker build -t foretoken .                          (or podman, or buildah)
#     docker build --build-arg PROFILE=dev -t foretoken .  (without LTO: a quarter of the time, for a try)
#
# Where no base image can be pulled, `.ci/rootfs DIRECTORY` does the work of the build stage, and DIRECTORY becomes the
# context of the same final stage: buildah build --build-arg SOURCE=prebuilt -f Dockerfile DIRECTORY
ARG RUST=docker.io/library/rust:1.95-slim-bookworm
ARG SOURCE=build

# A stage of its own, so that tests can see what .dockerignore lets through.
FROM scratch AS source
COPY . /

FROM ${RUST} AS build
WORKDIR /src
COPY --from=source / /src/
ARG PROFILE=dist
# The cache holds what was compiled over builds; the image gets only what the script lays out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    CARGO_PROFILE=${PROFILE} .ci/rootfs /out

FROM scratch AS prebuilt
COPY . /out/

FROM ${SOURCE} AS rootfs

FROM scratch
LABEL org.opencontainers.image.title="foretoken" \
      org.opencontainers.image.description="A sidecar that moves the primary role of a Redis" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=rootfs /out/root/ /
# Its directory, with mode 0700, is inside: so the new volume of a container is owned by the user too.
COPY --from=rootfs --chown=65532:65532 /out/state/ /var/lib/
# By number: Kubernetes can't tell from a name whether it is root. 65532 is the "nonroot" of distroless.
USER 65532:65532
# Everything that is written. The rest may be read-only.
VOLUME ["/var/lib/foretoken"]
# What a first try without a file writes (--state-dir's default is relative) goes there too.
WORKDIR /var/lib/foretoken
EXPOSE 7000 7001
ENTRYPOINT ["/usr/bin/foretoken"]
CMD ["run", "--config", "/etc/foretoken/foretoken.toml"]
