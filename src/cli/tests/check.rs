//! `kim check`: certificates, a fresh machine, checks of the program.

use std::path::Path;

use super::*;

/// A certificate for these names and its key, as files.
fn certificate(home: &Home, name: &str, domains: &[&str]) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(domains.iter().map(|d| d.to_string()).collect::<Vec<_>>())
        .unwrap();
    let (cert, key) = (
        home.file(&format!("{name}.crt")),
        home.file(&format!("{name}.key")),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

fn check_certificate(home: &Home, cert: &Path, key: &Path) -> String {
    let (cert, key) = (cert.display(), key.display());
    home.configure(&format!(
        "[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n[listen]\nc2s = []\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n"
    ));
    let answer = home.kim("check", "");
    answer
        .out
        .lines()
        .filter(|line| line.contains("  certificate  "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_certificate_that_cannot_be_used_is_told() {
    let home = Home::new();
    let (cert, key) = certificate(&home, "good", &["localhost"]);
    let good = check_certificate(&home, &cert, &key);
    assert!(
        good.starts_with(&format!(
            "ok    certificate    {} for localhost until ",
            cert.display()
        )),
        "{good}"
    );
    assert!(
        good.contains("other users of this machine can read") && good.contains("self-signed"),
        "{good}"
    );

    let (other_cert, other_key) = certificate(&home, "other", &["example.org"]);
    let wrong_name = check_certificate(&home, &other_cert, &other_key);
    assert!(
        wrong_name.contains("FAIL  certificate    no certificate covers localhost"),
        "{wrong_name}"
    );
    let wrong_key = check_certificate(&home, &cert, &other_key);
    assert!(
        wrong_key.contains("does not match the certificate"),
        "{wrong_key}"
    );
    let swapped = check_certificate(&home, &key, &cert);
    assert!(swapped.contains("contains no certificate"), "{swapped}");
    let no_key = check_certificate(&home, &cert, &cert);
    assert!(no_key.contains("contains no private key"), "{no_key}");
    let missing = check_certificate(&home, &home.file("none.crt"), &key);
    assert!(
        missing.contains("none.crt ([tls] cert): there is no such file"),
        "{missing}"
    );
    let directory = check_certificate(&home, &home.path, &key);
    assert!(directory.contains("cannot be read"), "{directory}");
    std::fs::write(
        home.file("garbage"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let garbage = check_certificate(&home, &home.file("garbage"), &key);
    assert!(garbage.starts_with("FAIL  certificate"), "{garbage}");

    // Without [tls] those in the data directory count, and for a missing one the server makes one.
    home.configure(
        "[server]\ndomains = [\"localhost\", \"example.org\"]\n[listen]\nc2s = []\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n",
    );
    std::fs::create_dir_all(home.data().join("certs")).unwrap();
    for (from, to) in [(&cert, "localhost.crt"), (&key, "localhost.key")] {
        std::fs::copy(from, home.data().join("certs").join(to)).unwrap();
    }
    let answer = home.kim("check", "");
    assert_eq!(answer.code, 0, "{}", answer.out);
    assert!(
        answer.out.contains("certs/localhost.crt for localhost until"),
        "{}",
        answer.out
    );
    assert!(
        answer
            .out
            .contains("warn  certificate    no certificate covers example.org: the server creates"),
        "{}",
        answer.out
    );
    let failure = inspect(&home.file("none.crt"), &key).unwrap_err();
    assert_eq!(failure.exit_code(), 5);
}

#[test]
fn a_fresh_machine_passes_the_check_and_nothing_is_made_by_it() {
    let home = Home::new();
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked.out.contains("will be created at the first start"),
        "{}",
        checked.out
    );
    assert!(!home.data().exists());
    home.done("user add alice@localhost", "");
    let checked = home.kim("check", "");
    assert_eq!(checked.code, 0);
    assert!(
        checked.out.contains("is reachable and up to date"),
        "{}",
        checked.out
    );
    let line_forms = checked
        .out
        .lines()
        .all(|line| ["ok  ", "skip", "warn", "FAIL"].contains(&&line[..4]));
    assert!(line_forms, "{}", checked.out);
}

#[test]
fn it_is_told_whether_old_clients_can_log_in() {
    let home = Home::new();
    let doors = "[listen]\nc2s = []\nc2s_tls = []\ns2s = []\ns2s_tls = []\nhttps = []\nhttp = []\n";
    for (plain, told) in [
        ("", "SASL PLAIN is off"),
        ("[c2s]\nplain = true\n", "SASL PLAIN is on"),
    ] {
        home.configure(&format!("{plain}{doors}"));
        let answer = home.kim("check", "");
        let line = answer.out.lines().find(|line| line.contains("  sign-in  "));
        let line = line.unwrap_or_else(|| panic!("{}", answer.out));
        assert!(line.starts_with("ok  ") && line.contains(told), "{line}");
        assert!(line.contains("clients without SCRAM"), "{line}");
    }
}

#[test]
fn a_check_of_the_program_can_fail_the_whole() {
    let home = Home::new();
    let login: Check = Box::new(|context| {
        Box::pin(async move {
            assert!(!context.running);
            vec![Finding::fail("login", "nobody answers")]
        })
    });
    let answer = home.kim_with(
        "check",
        "",
        &[],
        &App {
            checks: vec![login],
            ..app()
        },
    );
    assert_eq!(answer.code, 1);
    let skipped = "skip  federation     other servers cannot reach localhost\n";
    assert!(answer.out.contains(skipped), "{}", answer.out);
    assert!(
        answer.out.ends_with("FAIL  login          nobody answers\n"),
        "{}",
        answer.out
    );
}
