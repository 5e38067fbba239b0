#[test]
fn bench() {
    let drive = crate::testing::drive::town(24_000);
    let one: Vec<_> = drive.iter().map(crate::testing::drive::full).collect();
    let trips: Vec<_> = (0..100).map(|_| crate::testing::input(&one)).collect();
    let t = std::time::Instant::now();
    let f = super::super::frame::frame(&trips).unwrap();
    eprintln!("frame {:?} {}", t.elapsed(), f.height());
    let t = std::time::Instant::now();
    let x = crate::features::features(&trips).unwrap();
    eprintln!("all {:?} {}", t.elapsed(), x.len());
}
