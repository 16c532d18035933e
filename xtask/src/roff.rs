//! Our texts as roff: a blank line ends a paragraph, `# ` begins a heading, what is indented stays
//! as it is, and what stands between backquotes is bold.

/// The roff of `text`.
pub fn from_text(text: &str) -> String {
    let mut roff = String::new();
    let mut verbatim = false;
    let mut paragraph_due = false;
    for line in text.lines() {
        let indented = line.starts_with("  ");
        if verbatim && !indented && !line.is_empty() {
            roff.push_str(".EE\n");
            verbatim = false;
            paragraph_due = true;
        }
        if line.is_empty() {
            paragraph_due = true;
        } else if let Some(heading) = line.strip_prefix("# ") {
            roff.push_str(&format!(".SH {}\n", heading.to_uppercase()));
            paragraph_due = false;
        } else if indented {
            if !verbatim {
                roff.push_str(if paragraph_due { ".PP\n.EX\n" } else { ".EX\n" });
                verbatim = true;
            } else if paragraph_due {
                roff.push_str("\\&\n");
            }
            roff.push_str(&line_of_text(line));
            paragraph_due = false;
        } else {
            roff.push_str(if paragraph_due { ".PP\n" } else { "" });
            roff.push_str(&line_of_text(line));
            paragraph_due = false;
        }
    }
    if verbatim {
        roff.push_str(".EE\n");
    }
    roff
}

/// One line, with all that roff would take for its own escaped.
fn line_of_text(line: &str) -> String {
    let mut roff = String::new();
    if line.starts_with(['.', '\'']) {
        roff.push_str("\\&");
    }
    let mut bold = false;
    for character in line.chars() {
        match character {
            '`' => {
                bold = !bold;
                roff.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            '\\' => roff.push_str("\\e"),
            '-' => roff.push_str("\\-"),
            '\'' => roff.push_str("\\(aq"),
            '^' => roff.push_str("\\(ha"),
            '~' => roff.push_str("\\(ti"),
            other => roff.push(other),
        }
    }
    roff.push('\n');
    roff
}

#[cfg(test)]
mod tests {
    use super::from_text;

    #[test]
    fn headings_paragraphs_and_what_is_typed() {
        let text = "# Notes\nOne `a-b`.\n\nTwo:\n\n    x | y\n\n    z\nThree.\n";
        let roff = ".SH NOTES\nOne \\fBa\\-b\\fR.\n.PP\nTwo:\n.PP\n.EX\n    x | y\n\\&\n    z\n.EE\n.PP\nThree.\n";
        assert_eq!(from_text(text), roff);
    }

    #[test]
    fn no_text_is_a_request() {
        assert_eq!(from_text(".so x\n'br\na\\b\n"), "\\&.so x\n\\&\\(aqbr\na\\eb\n");
    }
}
