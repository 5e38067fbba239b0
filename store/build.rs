//! `sqlx::migrate!` reads the migrations when the crate compiles; cargo must know that it has to compile again.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
