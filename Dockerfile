# Two images from one file: the shop, which is the default, and the Xray node, built from
# the sources that the tests run. Neither has a shell, and both work on a root that is
# read-only.

FROM golang:1.26.8-alpine@sha256:8ac98ca534ac3f51e1f420a1dd2c15e74c75cfa0f23f3ad27eb5d7236c349a0c AS build
WORKDIR /src
ENV CGO_ENABLED=0
RUN mkdir -p /out/state

FROM build AS build-sallyport
ARG VERSION=development
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/sallyport ./cmd/sallyport

FROM build AS build-xray
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    go build -C tools/xray -trimpath -buildvcs=false -ldflags "-s -w" -o /out/start ./start && \
    go build -C tools/xray -trimpath -buildvcs=false -ldflags "-s -w" -o /out/xray github.com/xtls/xray-core/main

FROM scratch AS xray
LABEL org.opencontainers.image.title="sallyport-xray" \
      org.opencontainers.image.description="Xray, as a node of sallyport" \
      org.opencontainers.image.licenses="MPL-2.0"
COPY --from=build-xray /out/start /out/xray /
USER 65532:65532
EXPOSE 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/xray", "api", "statssys", "--server=unix:///run/xray/api.sock"]
ENTRYPOINT ["/start", "/run/xray/api.sock", "/xray"]
CMD ["run", "-format", "json", "-c", "/run/secrets/xray_config"]

FROM scratch AS sallyport
ARG VERSION=development
LABEL org.opencontainers.image.title="sallyport" \
      org.opencontainers.image.description="A Telegram shop for VPN access" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A volume mounted here is given this owner when it is made.
COPY --from=build --chown=65532:65532 /out/state /var/lib/sallyport
COPY --from=build-sallyport /out/sallyport /sallyport
WORKDIR /var/lib/sallyport
USER 65532:65532
EXPOSE 8080 8081 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/sallyport", "health", "--live"]
ENTRYPOINT ["/sallyport"]
CMD ["serve"]
