//! The page on `/`: what is here, for a person who typed the address.

use std::fmt::Write;

/// HTML linking to each of `paths` with what it is.
pub fn page(paths: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kanary</title></head><body>\n\
         <h1>kanary {}</h1>\n<p>Kernel and host metrics with anomaly scores.</p>\n<ul>\n",
        env!("CARGO_PKG_VERSION")
    );
    for (path, what) in paths {
        let _ = writeln!(html, "<li><a href=\"{path}\">{path}</a>: {what}</li>");
    }
    html + "</ul>\n</body></html>\n"
}
