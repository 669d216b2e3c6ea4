# The agent image: claude, git, ripgrep and usual shell tools, with the runner as its last, thin layer.
#   docker build -f images/agent.Dockerfile -t longshore-agent .
ARG RUST_VERSION=1.95
ARG DEBIAN_RELEASE=bookworm

FROM rust:${RUST_VERSION}-${DEBIAN_RELEASE} AS build
WORKDIR /src
COPY . .
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --locked --release --target x86_64-unknown-linux-gnu -p longshore-runner \
    && install -D -t /out target/x86_64-unknown-linux-gnu/release/longshore-runner

# Only the platform package, checked against the pinned integrity; Node.js stays behind.
FROM node:22-${DEBIAN_RELEASE}-slim AS claude
WORKDIR /claude
COPY images/claude.lock .
RUN . ./claude.lock \
    && npm pack --silent --ignore-scripts "$PACKAGE@$VERSION" \
    && sum=$(printf %s "${INTEGRITY#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n') \
    && echo "$sum  $(ls ./*.tgz)" | sha512sum --check --strict \
    && tar -xzf ./*.tgz --strip-components=1 package/claude \
    && chmod 0755 claude

FROM debian:${DEBIAN_RELEASE}-slim
COPY images/agent-packages.txt images/agent-setup.sh /tmp/
RUN apt-get update \
    && sed 's/#.*//' /tmp/agent-packages.txt | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
    && sh /tmp/agent-setup.sh \
    && rm -rf /var/lib/apt/lists/* /tmp/agent-packages.txt /tmp/agent-setup.sh
COPY --from=claude --chmod=0755 /claude/claude /usr/local/bin/claude
COPY --from=build --chmod=0755 /out/ /usr/local/bin/
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
WORKDIR /
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/longshore-runner", "serve"]
