# syntax=docker/dockerfile:1
# The image of every role (serve, work, migrate, …): one binary on a slim Debian, without the embedded PostgreSQL.
#
#     docker build --tag odograph:local --build-arg REVISION="$(git rev-parse HEAD)" .
#
# The registry and the target directory are kept between builds in cache mounts, so that a change of our code builds our code.

ARG RUST_VERSION=1.95.0
ARG DEBIAN=bookworm

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /build
# Without this rustup would fetch the components that rust-toolchain.toml names for development.
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION} CARGO_INCREMENTAL=0 SQLX_OFFLINE=true
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked --no-default-features --package odograph --bin odograph \
    && strip --output-file=/usr/local/bin/odograph target/release/odograph

FROM debian:${DEBIAN}-slim AS runtime
ARG REVISION=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Odograph" \
      org.opencontainers.image.description="Usage-based motor insurance: telemetry in; trips, scores and premiums out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
# Certificates, for a broker or a database over TLS; the binary needs nothing else.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 odograph \
    && useradd --system --uid 10001 --gid odograph --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin odograph
COPY --from=build --chmod=0555 /usr/local/bin/odograph /usr/local/bin/odograph
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
ENV ODOGRAPH__API__BIND=0.0.0.0:8080 ODOGRAPH__LOG__FORMAT=json ODOGRAPH__DATA__DIR=/tmp/odograph
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=6 CMD ["odograph", "healthcheck", "serve"]
ENTRYPOINT ["odograph"]
CMD ["all"]
