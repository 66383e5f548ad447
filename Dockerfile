# docker build .                    builds kanary inside Docker
# docker build --target runtime .   takes target/release/kanary as `make build` left it
#
# BASE needs glibc and libgcc, nothing else: no shell is run.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS base
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
EXPOSE 9477
VOLUME /var/lib/kanary
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["kanary", "healthcheck"]
ENTRYPOINT ["kanary"]

FROM base AS runtime
COPY target/release/kanary /usr/local/bin/kanary

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends clang libbpf-dev
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM base
COPY --from=build /src/target/release/kanary /usr/local/bin/kanary
