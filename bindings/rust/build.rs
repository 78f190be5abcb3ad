//! Links the system's libhakmem, which pkg-config finds, or compiles the allocator in: its one C file, with `cc` and `ar`
//! (or what CC and AR name). Nothing is fetched.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As the head of hakmem.c says.
const FLAGS: &[&str] = &[
    "-std=gnu17",
    "-O2",
    "-g",
    "-fPIC",
    "-fvisibility=hidden",
    "-ftls-model=initial-exec",
    "-fno-builtin",
    "-fno-strict-aliasing",
    "-fexceptions",
];

fn variable(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={}", name);
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn has_feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name)).is_some()
}

/// Ends the build with a line of its own, without a backtrace.
fn give_up(why: &str) -> ! {
    eprintln!("hakmem: {}", why);
    std::process::exit(1);
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => (),
        Ok(status) => give_up(&format!("{:?} failed: {}", command, status)),
        Err(error) => give_up(&format!("{:?} cannot be run: {}", command, error)),
    }
}

/// The directory of the system's library.
fn system_library() -> Option<String> {
    variable("PKG_CONFIG_PATH");
    let output = Command::new("pkg-config")
        .args(["--variable=libdir", "hakmem"])
        .output()
        .ok()?;
    let directory = String::from_utf8(output.stdout).ok()?.trim().to_string();
    Some(directory).filter(|directory| output.status.success() && !directory.is_empty())
}

/// The allocator's one C file: a published crate has it, a checkout of hakmem can make it.
fn source(crate_directory: &Path, out: &Path) -> PathBuf {
    let packaged = crate_directory.join("hakmem.c");
    if packaged.exists() {
        println!("cargo:rerun-if-changed={}", packaged.display());
        return packaged;
    }
    let root = crate_directory.join("../..");
    let maker = root.join("tools/amalgamate.py");
    if !maker.exists() {
        give_up("there is no hakmem.c in the crate; `make single-file` in a checkout of hakmem makes it");
    }
    for directory in ["src", "include", "tools"] {
        println!("cargo:rerun-if-changed={}", root.join(directory).display());
    }
    let made = out.join("hakmem.c");
    let (include, src) = (root.join("include"), root.join("src"));
    run(Command::new("python3")
        .arg("-B")
        .arg(maker)
        .arg("-I")
        .arg(include)
        .arg("-I")
        .arg(&src)
        .arg(src.join("all.c"))
        .arg(&made));
    made
}

fn compile(out: &Path) {
    let crate_directory = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let object = out.join("hakmem.o");
    let mut compiler = Command::new(variable("CC").unwrap_or_else(|| "cc".into()));
    compiler
        .args(FLAGS)
        .arg("-c")
        .arg(source(&crate_directory, out))
        .arg("-o")
        .arg(&object);
    if !has_feature("OVERRIDE") {
        compiler.arg("-DHAK_NO_OVERRIDE");
    }
    run(&mut compiler);
    let archiver = variable("AR").unwrap_or_else(|| "ar".into());
    run(Command::new(archiver)
        .arg("crs")
        .arg(out.join("libhakmem.a"))
        .arg(&object));
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if !has_feature("BUNDLED") {
        if let Some(directory) = system_library() {
            println!("cargo:rustc-link-search=native={}", directory);
            println!("cargo:rustc-link-lib=dylib=hakmem");
            return;
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    compile(&out);
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=hakmem");
}
