//! Temporary probe.
#[tokio::main]
async fn main() {
    let e = odograph::embedded::Embedded::start(odograph::embedded::Location::Temporary).await.expect("start");
    println!("{}", e.url());
    tokio::time::sleep(std::time::Duration::from_secs(1500)).await;
}
