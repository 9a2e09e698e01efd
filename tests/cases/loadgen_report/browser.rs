//! Headless Chromium: measures a page by a script, and takes pictures of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::skip;
use tests::target::disk_dir;

/// Whether the reader's system is bright or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on bright ground.
    Light,
    /// Bright text on dark ground.
    Dark,
}

/// The names under which Chromium and its relatives are installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Height of pictures in pixels, and of the window that is measured.
const HEIGHT: u32 = 6000;

/// A browser on this machine. Pictures are kept in `loadgen_report` below the tests' directory.
pub struct Browser {
    program: PathBuf,
    kept: PathBuf,
}

/// The page must load nothing; the test's script is the one exception.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl Browser {
    /// None, with a note on why, where there is none.
    pub fn find() -> Option<Browser> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories: Vec<_> = std::env::split_paths(&path).collect();
        let candidates = NAMES
            .iter()
            .flat_map(|name| directories.iter().map(move |d| d.join(name)));
        let Some(program) = candidates.into_iter().find(|path| path.is_file()) else {
            skip::skip("no chromium found (Debian's package chromium)");
            return None;
        };
        let kept = disk_dir().join("loadgen_report");
        std::fs::create_dir_all(&kept).unwrap();
        Some(Browser { program, kept })
    }

    /// A run of the browser with a profile of its own in `home`.
    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-dev-shm-usage",
                "--disable-extensions",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!(
                "--user-data-dir={}",
                home.join("profile").display()
            ))
            .env("HOME", home)
            .stdin(Stdio::null());
        command
    }

    fn write(&self, name: &str, html: &str) -> PathBuf {
        let path = self.kept.join(name);
        std::fs::write(&path, html).unwrap();
        path
    }

    /// What is wrong with the look of `html` in a window of `width` pixels.
    ///
    /// The page lies in a frame of that width: a window of Chromium cannot be as narrow as a phone.
    pub fn measure(&self, name: &str, html: &str, width: u32) -> Vec<String> {
        assert!(
            html.contains(POLICY),
            "the page lets a browser load what it wants"
        );
        let inner = html.replace(POLICY, "default-src 'unsafe-inline'").replace(
            "</body>",
            &format!("<script>{}</script></body>", include_str!("measure.js")),
        );
        let home = tempfile::tempdir().unwrap();
        let page = self.frame(&format!("{name}-{width}-measured"), &inner, width);
        let output = self
            .command(home.path())
            .args([
                "--window-size=1400,1000",
                "--virtual-time-budget=10000",
                "--dump-dom",
            ])
            .arg(format!("file://{}", page.display()))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let dom = String::from_utf8_lossy(&output.stdout).into_owned();
        let _ = std::fs::remove_file(page);
        let Some((_, found)) = dom.split_once("<pre id=\"found\">") else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            panic!("nothing was measured: {}\n{said}\n{dom}", output.status);
        };
        let (found, _) = found.split_once("</pre>").unwrap();
        found
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// A page that shows `html` in a frame of `width` pixels, and what the frame says.
    fn frame(&self, name: &str, html: &str, width: u32) -> PathBuf {
        let quoted = html.replace('&', "&amp;").replace('"', "&quot;");
        let page = format!(
            "<!doctype html><meta charset=utf-8><style>body{{margin:0}}</style>\
             <script>onmessage = event => {{ \
             const found = document.createElement('pre'); found.id = 'found'; \
             found.textContent = event.data; document.body.append(found); }};</script>\
             <body><iframe style=\"border:0;display:block;width:{width}px;height:{HEIGHT}px\" \
             srcdoc=\"{quoted}\"></iframe>"
        );
        self.write(&format!("{name}.html"), &page)
    }

    /// Keeps a picture of the whole page.
    pub fn picture(&self, name: &str, html: &str, width: u32, scheme: Scheme) {
        let home = tempfile::tempdir().unwrap();
        let name = format!("{name}-{width}-{scheme:?}").to_lowercase();
        let page = self.frame(&name, html, width);
        let picture = self.kept.join(format!("{name}.png"));
        let _ = std::fs::remove_file(&picture);
        let mut command = self.command(home.path());
        if scheme == Scheme::Dark {
            command.arg("--blink-settings=preferredColorScheme=0");
        }
        let status = command
            .arg(format!("--window-size={width},{HEIGHT}"))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("file://{}", page.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let _ = std::fs::remove_file(page);
        let size = std::fs::metadata(&picture).map_or(0, |meta| meta.len());
        assert!(
            status.success() && size > 10_000,
            "no picture: {status}, {size} bytes"
        );
    }
}
