# Short names for the scripts; whoever has no just runs them directly. `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# Format everything
fmt:
    cargo fmt --all

# Formatting and lints, as CI sees them
lint:
    scripts/ci-checks fmt
    scripts/ci-checks clippy

# Find or start PostgreSQL and RabbitMQ and run the tests, all or those named
test *args:
    scripts/test {{ args }}

# The black-box tests on the embedded default; those that need several processes or a broker say that they skip
test-embedded *args:
    ODOGRAPH_TEST_BACKEND=embedded scripts/test -E 'package(odograph-tests)' {{ args }}

# Crate walls, licences and sources; installs cargo-deny when it is missing
deny *args:
    scripts/deny {{ args }}

# Regenerate .sqlx/ after a query or a migration changed; `just sqlx-prepare --check` only compares
sqlx-prepare *args:
    scripts/sqlx-prepare {{ args }}

# Regenerate openapi/openapi.json from the handlers; `just openapi --check` only compares
openapi *args:
    cargo run --quiet -- openapi {{ args }}

# The main job on the embedded default: a fleet, its trips, scores and premiums, then the API
demo *args:
    cargo run -- demo {{ args }}

# Everything that must pass before a change is merged
ci:
    .ci/run
