# Operator and bot in one image; the chart says which of the two runs.
#   docker build -f images/longshore.Dockerfile -t longshore .
ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM rust:${RUST_VERSION}-${DEBIAN_RELEASE} AS build
WORKDIR /src
COPY . .
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --locked --release --target x86_64-unknown-linux-gnu -p longshore-operator -p longshore-bot \
    && install -D -t /out target/x86_64-unknown-linux-gnu/release/longshore-operator target/x86_64-unknown-linux-gnu/release/longshore-bot
RUN printf 'root:x:0:0::/:/sbin/nologin\nlongshore:x:65532:65532::/:/sbin/nologin\n' > /passwd \
    && printf 'root:x:0:\nlongshore:x:65532:\n' > /group

# Static binaries need no base: no shell, no package, nothing to patch.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /passwd /group /etc/
COPY --from=build --chmod=0755 /out/ /usr/local/bin/
ENV PATH=/usr/local/bin
WORKDIR /
USER 65532:65532
