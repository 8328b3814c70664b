# Muster in an image that has nothing else: docs/operations.md says how to use it.
#
#     docker build --tag muster .

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /image/muster ./cmd/muster
# Directories with the rights they need: a scratch image has no command to make them.
RUN mkdir -p /image/etc/muster /image/etc/ssl/certs \
	&& cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
	&& install -d -m 1777 /image/tmp \
	&& install -d -m 0700 /data

FROM scratch
# Authorities for TLS to PostgreSQL, /tmp for what SQLite sorts, and the program.
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# Commands find /etc/muster/muster.toml without being told. It says data_dir = "/data".
WORKDIR /etc/muster
VOLUME /data
# Clients with STARTTLS, clients with TLS, /metrics and /healthz.
EXPOSE 5222 5223 5280
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m --start-interval=1s CMD ["/muster", "status", "--config", "/etc/muster/muster.toml"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/muster"]
CMD ["serve", "--config", "/etc/muster/muster.toml", "--log-format", "json"]
