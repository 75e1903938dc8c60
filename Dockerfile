# The server in a small image. Build: docker build -t kim .   Run: see docker-compose.yml.

FROM node:22-bookworm-slim AS web
WORKDIR /web
COPY web .
RUN npm ci && npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /kim
COPY . .
COPY --from=web /web/dist web/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/kim/target \
    cargo build --locked --profile dist --features check-omemo --bin kim \
    && cp target/dist/kim /usr/local/bin/kim

FROM debian:bookworm-slim
# The public authorities, to check other servers' certificates with.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/kim /usr/local/bin/kim
RUN groupadd --system --gid 5222 kim \
    && useradd --system --uid 5222 --gid kim --home-dir /var/lib/kim --create-home kim \
    && install --directory --owner=kim --group=kim --mode=0700 /var/lib/kim/data
USER 5222:5222
WORKDIR /var/lib/kim
# The database, keys, and in certs/ the certificate that is made on the first start.
VOLUME ["/var/lib/kim/data"]
EXPOSE 5222 5223 5269 5270 5443
STOPSIGNAL SIGTERM
ENTRYPOINT ["kim"]
CMD ["serve"]
