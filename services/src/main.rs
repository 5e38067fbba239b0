use std::process::ExitCode;

use clap::Parser as _;
use odograph::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("odograph: {cause:#}");
            ExitCode::FAILURE
        }
    }
}
