//! Lists the files of the web client (`web/dist`, made by `npm run build` in `web/`) for `src/http/pages/client.rs`, so
//! that they are in the binary. A clone without npm has none: then the list is empty, and the server's pages say so.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join("web/dist");
    println!("cargo:rerun-if-changed=build.rs");
    // The folder is in the repository, empty: what is not there would be looked for, and built anew, every time.
    if dist.is_dir() {
        println!("cargo:rerun-if-changed=web/dist");
    }
    let version = fs::read_to_string(dist.join("version")).unwrap_or_default();
    println!("cargo:rustc-check-cfg=cfg(has_web_client)");
    if !version.is_empty() {
        println!("cargo:rustc-cfg=has_web_client");
    }
    let mut names = Vec::new();
    if !version.is_empty() {
        list(&dist.join("files"), "", &mut names);
        names.sort();
    }
    let mut code = format!("const VERSION: &str = {version:?};\nstatic FILES: &[File] = &[\n");
    let mut compressed: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".br")).collect();
    compressed.retain(|name| names.iter().any(|other| other.strip_suffix(".gz") == Some(name)));
    let plain = names
        .iter()
        .filter(|name| !name.ends_with(".br") && !name.ends_with(".gz"));
    let include = |name: &str| format!("include_bytes!({:?})", dist.join("files").join(name));
    let mut lines: Vec<(&str, String)> = plain
        .map(|name| (name.as_str(), format!("Body::Plain({})", include(name))))
        .collect();
    for name in compressed {
        let (br, gzip) = (include(&format!("{name}.br")), include(&format!("{name}.gz")));
        lines.push((name, format!("Body::Compressed {{ br: {br}, gzip: {gzip} }}")));
    }
    lines.sort();
    for (name, body) in lines {
        let _ = writeln!(code, "    File {{ name: {name:?}, body: {body} }},");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("web_client.rs");
    if let Err(error) = fs::write(&out, code) {
        println!("cargo:warning=cannot write {}: {error}", out.display());
    }
}

/// The files below a folder, as paths with `/`.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}
