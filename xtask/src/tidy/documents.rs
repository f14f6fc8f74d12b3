//! Whether the documents speak of what is there.

use super::tree::Tree;

/// Problems in the documents.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut problems = paths_named(tree, "ARCHITECTURE.md");
    problems.extend(links(tree));
    problems.extend(error_pages(tree));
    problems
}

/// Every path in backticks must exist. A word counts as a path if it has a `/` or ends like a file.
fn paths_named(tree: &Tree, document: &str) -> Vec<String> {
    let Some(text) = tree.text(document) else { return vec![format!("{document} is missing")] };
    let mut problems = Vec::new();
    let mut in_block = false;
    for (number, line) in numbered(text) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2);
        for path in spans.filter(|span| is_path(span)).filter(|path| !tree.exists(path)) {
            problems.push(format!("{document}:{number}: `{path}` does not exist"));
        }
    }
    problems
}

fn is_path(span: &str) -> bool {
    let clean = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let file = [".md", ".rs", ".toml", ".txt", ".sql"].iter().any(|ending| span.ends_with(ending));
    clean && !span.starts_with('/') && (span.contains('/') || file)
}

/// Every relative link of a document must lead somewhere.
fn links(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (document, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        let directory = document.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (number, line) in numbered(text) {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
                let path = join(directory, target.split('#').next().unwrap_or(target));
                if !tree.exists(&path) {
                    problems.push(format!("{document}:{number}: the link to {target} leads nowhere"));
                }
            }
        }
    }
    problems
}

fn join(directory: &str, relative: &str) -> String {
    let mut parts: Vec<_> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where the codes are written, and where each has its page.
const CODES: &str = "crates/tidings-core/src/error/code.rs";
const PAGES: &str = "docs/errors/";

/// Every error code has a page and every page a code; the page shows the remedy that users read.
fn error_pages(tree: &Tree) -> Vec<String> {
    let codes: Vec<_> = codes(tree.text(CODES).unwrap_or_default()).collect();
    if codes.is_empty() {
        return vec![format!("{CODES}: no error code found")];
    }
    let mut problems = Vec::new();
    for (code, remedy) in &codes {
        match tree.text(&format!("{PAGES}{code}.md")) {
            None => problems.push(format!("{CODES}: {code} has no page {PAGES}{code}.md")),
            Some(page) if page.contains(&format!("; {remedy} [{code}]")) => {}
            Some(_) => problems
                .push(format!("{PAGES}{code}.md: no example ends with its remedy, `; {remedy} [{code}]`")),
        }
    }
    let pages = tree.files().filter_map(|(path, _)| path.strip_prefix(PAGES)?.strip_suffix(".md"));
    let strangers = pages.filter(|page| *page != "README" && !codes.iter().any(|(code, _)| code == page));
    problems.extend(strangers.map(|page| format!("{PAGES}{page}.md: there is no such code")));
    problems
}

/// Each code with its remedy: the quoted text that follows it.
fn codes(source: &str) -> impl Iterator<Item = (&str, &str)> {
    let code = source.lines().map(|line| line.trim_start()).filter(|line| !line.starts_with("//"));
    let quoted: Vec<_> = code.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
    let pairs: Vec<_> = quoted.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
    pairs.into_iter().filter(|(word, _)| {
        word.strip_prefix("TD").is_some_and(|n| n.len() == 4 && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_architecture_must_exist() {
        let tree = Tree::of(&[
            (
                "ARCHITECTURE.md",
                "See `crates/a`, `crates/a/src/lib.rs`, `crates/b/`,\n`Some::path`, `a b/c`, `gone.rs`.\n```text\n`no/path`\n```\n",
            ),
            ("crates/a/src/lib.rs", ""),
        ]);
        assert_eq!(
            paths_named(&tree, "ARCHITECTURE.md"),
            ["ARCHITECTURE.md:1: `crates/b/` does not exist", "ARCHITECTURE.md:2: `gone.rs` does not exist"]
        );
        assert_eq!(paths_named(&Tree::of(&[]), "ARCHITECTURE.md"), ["ARCHITECTURE.md is missing"]);
    }

    #[test]
    fn a_link_must_lead_somewhere() {
        let tree = Tree::of(&[
            (
                "docs/errors/README.md",
                "[a](TD1001.md) [b](../../README.md#top) [c](https://example.com) [d](#here)\n[e](gone.md)",
            ),
            ("docs/errors/TD1001.md", ""),
            ("README.md", "[errors](docs/errors/) [root](.)"),
        ]);
        assert_eq!(links(&tree), ["docs/errors/README.md:2: the link to gone.md leads nowhere"]);
    }

    #[test]
    fn codes_and_pages_match_both_ways() {
        let tree = Tree::of(&[
            (
                CODES,
                "/// \"A\"\nA = \"TD1001\", Input, \"mend it\";\nB = \"TD1002\", Input, \"see TD9999\";\nC = \"TD1003\", Input,\n    \"new\";",
            ),
            ("docs/errors/TD1001.md", "```text\nx; mend it [TD1001]\n```"),
            ("docs/errors/TD1003.md", "```text\nx; old [TD1003]\n```"),
            ("docs/errors/TD7777.md", ""),
            ("docs/errors/README.md", ""),
        ]);
        assert_eq!(
            error_pages(&tree),
            [
                "crates/tidings-core/src/error/code.rs: TD1002 has no page docs/errors/TD1002.md",
                "docs/errors/TD1003.md: no example ends with its remedy, `; new [TD1003]`",
                "docs/errors/TD7777.md: there is no such code",
            ]
        );
        assert_eq!(
            error_pages(&Tree::of(&[])),
            ["crates/tidings-core/src/error/code.rs: no error code found"]
        );
    }
}
