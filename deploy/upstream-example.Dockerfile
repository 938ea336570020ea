# docker build -f deploy/upstream-example.Dockerfile -t upstream-example .
FROM rust:1.94-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p upstream-example

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 upstream
COPY --from=build /src/target/release/upstream-example /usr/local/bin/upstream-example
USER 10001
ENTRYPOINT ["upstream-example"]
