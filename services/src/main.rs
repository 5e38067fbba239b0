use std::process::ExitCode;

use clap::Parser as _;
use odograph::{cli::Cli, tls};

#[tokio::main]
async fn main() -> ExitCode {
    tls::install();
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("odograph: {cause:#}");
            ExitCode::FAILURE
        }
    }
}
