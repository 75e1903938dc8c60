//! What a page may load and where it may connect (CSP level 3), derived from the configuration.

/// The policy of every page. Scripts come from this server's own files; WebAssembly is the arithmetic of OMEMO. Converse sets
/// styles on elements, so those may be inline. Pictures from elsewhere are not loaded: their sender would learn who looks at
/// them. Files may be on an origin of their own (`[xep0363_upload] public_url`), and the page may have been opened at another
/// address than `public_url`, so the origin of uploads is always named.
pub(super) fn of(origin: &str, uploads: Option<&str>) -> String {
    let socket = match origin.split_once("://") {
        Some(("https", authority)) => format!("wss://{authority}"),
        Some((_, authority)) => format!("ws://{authority}"),
        None => String::new(),
    };
    let files = uploads.map(|uploads| format!(" {uploads}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:{files}; media-src 'self' data: blob:{files}; font-src 'self' data:; \
         worker-src 'self' blob:; connect-src 'self' {socket}{files}; manifest-src 'self'; object-src 'none'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(policy: &str, directive: &str) -> Vec<String> {
        let found = policy.split("; ").find_map(|part| part.strip_prefix(directive));
        found
            .unwrap_or_else(|| panic!("no {directive} in {policy}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn files_on_another_origin_can_be_uploaded_and_seen() {
        let policy = of(
            "https://chat.example.org",
            Some("https://upload.example.org:8443"),
        );
        for (directive, allowed) in [
            (
                "connect-src",
                vec![
                    "'self'",
                    "wss://chat.example.org",
                    "https://upload.example.org:8443",
                ],
            ),
            (
                "img-src",
                vec!["'self'", "data:", "blob:", "https://upload.example.org:8443"],
            ),
            (
                "media-src",
                vec!["'self'", "data:", "blob:", "https://upload.example.org:8443"],
            ),
            // What others uploaded is never run.
            ("script-src", vec!["'self'", "'wasm-unsafe-eval'"]),
            ("style-src", vec!["'self'", "'unsafe-inline'"]),
            ("font-src", vec!["'self'", "data:"]),
            ("worker-src", vec!["'self'", "blob:"]),
            ("object-src", vec!["'none'"]),
            ("default-src", vec!["'none'"]),
        ] {
            assert_eq!(sources(&policy, directive), allowed, "{directive}");
        }
    }

    #[test]
    fn a_server_without_uploads_allows_nothing_more() {
        let policy = of("http://localhost:5280", None);
        assert_eq!(sources(&policy, "connect-src"), ["'self'", "ws://localhost:5280"]);
        assert_eq!(sources(&policy, "img-src"), ["'self'", "data:", "blob:"]);
    }
}
