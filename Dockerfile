# Builds changetape and nothing else into a small image that runs without privileges.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package changetape \
    && install -D target/release/changetape /out/changetape \
    && strip --strip-debug /out/changetape

FROM debian:bookworm-slim
# A fixed number, so that a volume of tapes keeps its owner from image to image.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin changetape \
    && install -d -o changetape -g changetape /tapes
COPY --from=build /out/changetape /usr/local/bin/changetape
USER changetape
WORKDIR /tapes
VOLUME /tapes
ENTRYPOINT ["changetape"]
CMD ["--help"]
