//! Pieces of pages: sections, tiles, tables. What they are given is HTML already, unless it says text.

use super::super::text::esc;

/// A card with a heading (text).
pub(super) fn section(heading: &str, wide: bool, content: &str) -> String {
    let class = if wide { " class=\"wide\"" } else { "" };
    format!("<section{class}><h2>{}</h2>{content}</section>\n", esc(heading))
}

/// A sentence (text).
pub(super) fn sentence(text: &str) -> String {
    format!("<p>{}</p>", esc(text))
}

/// What stands where nothing is to be shown (text).
pub(super) fn nothing(text: &str) -> String {
    format!("<p class=\"empty\">{}</p>", esc(text))
}

/// Key figures: what, how much (texts).
pub(super) fn tiles(tiles: &[(String, String)]) -> String {
    let tile = |(what, figure): &(String, String)| format!("<li><b>{}</b>{}</li>", esc(figure), esc(what));
    format!(
        "<ul class=\"tiles\">{}</ul>",
        tiles.iter().map(tile).collect::<String>()
    )
}

/// A column of figures has its heading begin with `#`.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let figures: Vec<bool> = head.iter().map(|name| name.starts_with('#')).collect();
    let class = |at: usize| {
        if figures.get(at) == Some(&true) {
            " class=\"n\""
        } else {
            ""
        }
    };
    let head: String = head
        .iter()
        .enumerate()
        .map(|(at, name)| {
            format!(
                "<th scope=\"col\"{}>{}</th>",
                class(at),
                esc(name.trim_start_matches('#'))
            )
        })
        .collect();
    let row = |row: &Vec<String>| {
        let cells = row
            .iter()
            .enumerate()
            .map(|(at, cell)| format!("<td{}>{}</td>", class(at), esc(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let body: String = rows.iter().map(row).collect();
    let caption = esc(caption);
    format!(
        "<div class=\"scroll\"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
}

/// The figures behind a chart, folded away.
pub(super) fn behind(table: &str) -> String {
    format!("<details><summary>Figures</summary>{table}</details>")
}

/// Colours and what they stand for (class, text).
pub(super) fn key(entries: &[(&str, &str)]) -> String {
    let entry = |(class, text): &(&str, &str)| format!("<span><i class=\"{class}\"></i>{}</span>", esc(text));
    format!("<p class=\"key\">{}</p>", entries.iter().map(entry).collect::<String>())
}
