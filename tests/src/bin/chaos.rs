//! `scripts/chaos`: kills workers, API, RabbitMQ and PostgreSQL at random under load and compares the results with those of
//! an undisturbed run. Ends with 1 on any difference.

use std::{process::ExitCode, time::Duration};

use odograph_tests::chaos::{self, Options};

const USAGE: &str = "usage: chaos [--kills 20] [--seed S] [--minutes 5] [--vehicles 24] [--days 1]";

fn options() -> Result<Options, String> {
    let mut options = Options {
        kills: 20,
        seed: chaos::any_seed(),
        lasts: Duration::from_secs(300),
        vehicles: 24,
        days: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} wants a value\n{USAGE}"))?;
        let wrong = || format!("{name}: wanted a number, got {value:?}\n{USAGE}");
        let whole = value.parse::<u64>();
        match name.as_str() {
            "--kills" => options.kills = whole.map_err(|_| wrong())? as usize,
            "--seed" => options.seed = whole.map_err(|_| wrong())?,
            "--minutes" => {
                options.lasts =
                    Duration::from_secs_f64(60.0 * value.parse::<f64>().map_err(|_| wrong())?.clamp(0.1, 1440.0))
            }
            "--vehicles" => options.vehicles = (whole.map_err(|_| wrong())? as usize).max(1),
            "--days" => options.days = (whole.map_err(|_| wrong())? as u32).max(1),
            _ => return Err(format!("unknown argument {name}\n{USAGE}")),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(told) => {
            eprintln!("{told}");
            return ExitCode::from(2);
        }
    };
    match chaos::run(&options).await {
        Ok(Some(())) => {
            println!("passed (seed {})", options.seed);
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(3),
        Err(error) => {
            println!("FAILED (seed {}): {error:#}", options.seed);
            ExitCode::FAILURE
        }
    }
}
