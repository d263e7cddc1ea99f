//! The pages inside the binary, each with its type and tag. Never looks at a disk: a `static/`
//! folder, where there is one, is read by [`crate::worker`] and goes before these.

use crate::proto::{etag, mime};

/// One page, served from memory.
#[derive(Debug)]
pub struct Page {
    /// Its path, with the leading slash.
    pub path: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
    /// Its `Content-Type`.
    pub mime: &'static str,
    etag: [u8; 18],
}

impl Page {
    const fn new(path: &'static str, mime: &'static str, bytes: &'static [u8]) -> Self {
        Page {
            path,
            bytes,
            mime,
            etag: etag::of_content(bytes),
        }
    }

    /// Its `ETag`, quotes included; another one for any other content.
    pub fn etag(&self) -> &str {
        str::from_utf8(&self.etag).unwrap_or_default()
    }

    /// Its `Content-Security-Policy`; empty for none.
    pub fn policy(&self) -> &'static str {
        match self.path {
            "/index.html" => CONSOLE_POLICY,
            _ => "",
        }
    }
}

/// The console runs its own files only, talks to its own server only, and other sites do not frame it: it changes things.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Declares [`PAGES`]: each file of `static/` with its type and its path.
macro_rules! pages {
    ($($mime:ident $path:literal = $file:literal,)+) => {
        static PAGES: [Page; [$($path),+].len()] = [
            // Each by itself: a tag takes the compiler some steps for each byte.
            $(const { Page::new($path, mime::$mime, include_bytes!(concat!("../static/", $file))) }),+
        ];
    };
}

// What has no known ending is served as text under a longer name.
pages! {
    HTML "/index.html" = "index.html",
    CSS "/console/console.css" = "console/console.css",
    JAVASCRIPT "/console/api.js" = "console/api.js",
    JAVASCRIPT "/console/charts.js" = "console/charts.js",
    JAVASCRIPT "/console/compose.js" = "console/compose.js",
    JAVASCRIPT "/console/cron.js" = "console/cron.js",
    JAVASCRIPT "/console/dom.js" = "console/dom.js",
    JAVASCRIPT "/console/link.js" = "console/link.js",
    JAVASCRIPT "/console/live.js" = "console/live.js",
    JAVASCRIPT "/console/logs.js" = "console/logs.js",
    JAVASCRIPT "/console/main.js" = "console/main.js",
    JAVASCRIPT "/console/numbers.js" = "console/numbers.js",
    JAVASCRIPT "/console/settings.js" = "console/settings.js",
    JAVASCRIPT "/console/timer_form.js" = "console/timer_form.js",
    JAVASCRIPT "/console/timers.js" = "console/timers.js",
    JAVASCRIPT "/console/try.js" = "console/try.js",
    JAVASCRIPT "/console/users.js" = "console/users.js",
    JAVASCRIPT "/console/words.js" = "console/words.js",
    HTML "/test.html" = "test.html",
    JSON "/grafana.json" = "grafana.json",
    JAVASCRIPT "/jdpush.js" = "jdpush.js",
    TEXT "/jdpush.d.ts.txt" = "jdpush.d.ts",
    TEXT "/jdserver.php.txt" = "jdserver.php",
    HTML "/manual/index.html" = "manual/index.html",
    CSS "/manual/style.css" = "manual/style.css",
    HTML "/manual/en/index.html" = "manual/en/index.html",
    HTML "/manual/en/calls.html" = "manual/en/calls.html",
    HTML "/manual/en/push.html" = "manual/en/push.html",
    HTML "/manual/en/timers.html" = "manual/en/timers.html",
    HTML "/manual/en/plugins.html" = "manual/en/plugins.html",
    HTML "/manual/en/settings.html" = "manual/en/settings.html",
    HTML "/manual/en/operations.html" = "manual/en/operations.html",
    HTML "/manual/en/moving.html" = "manual/en/moving.html",
    HTML "/manual/en/limits.html" = "manual/en/limits.html",
    HTML "/manual/en/security.html" = "manual/en/security.html",
    HTML "/manual/zh/index.html" = "manual/zh/index.html",
    HTML "/manual/zh/calls.html" = "manual/zh/calls.html",
    HTML "/manual/zh/push.html" = "manual/zh/push.html",
    HTML "/manual/zh/timers.html" = "manual/zh/timers.html",
    HTML "/manual/zh/plugins.html" = "manual/zh/plugins.html",
    HTML "/manual/zh/settings.html" = "manual/zh/settings.html",
    HTML "/manual/zh/operations.html" = "manual/zh/operations.html",
    HTML "/manual/zh/moving.html" = "manual/zh/moving.html",
    HTML "/manual/zh/limits.html" = "manual/zh/limits.html",
    HTML "/manual/zh/security.html" = "manual/zh/security.html",
}

/// The page at a decoded path; `/` is `/index.html`.
pub fn find(path: &str) -> Option<&'static Page> {
    let path = mime::file_of(path);
    PAGES.iter().find(|page| *page.path == *path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_index() {
        assert_eq!(find("/").map(|page| page.path), Some("/index.html"));
        assert!(find("/nosuch.html").is_none());
        assert!(find("index.html").is_none());
    }

    #[test]
    fn pages_have_the_type_of_their_path_and_a_tag_of_their_own() {
        for page in &PAGES {
            assert_eq!(
                mime::is_file_path(page.path),
                Some(page.mime),
                "{}",
                page.path
            );
            assert!(page.etag().starts_with('"') && page.etag().len() == 18);
            assert!(!page.bytes.is_empty());
        }
        let tags: std::collections::BTreeSet<_> = PAGES.iter().map(Page::etag).collect();
        assert_eq!(tags.len(), PAGES.len());
    }
}
