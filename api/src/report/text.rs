//! Figures as people read them, the same in every locale: ISO dates, a point before decimals, a narrow space between thousands.

use std::borrow::Cow;

/// Text as it may stand in HTML, in attributes too.
pub(super) fn esc(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// With so many decimals and thousands apart.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let plain = format!("{:.*}", decimals, value.abs());
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let zero = plain.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let mut grouped = String::from(if value < 0.0 && !zero { "−" } else { "" });
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Kilometres: one decimal, none from a thousand on.
pub(super) fn km(value: f64) -> String {
    number(value, if value.abs() < 1000.0 { 1 } else { 0 }) + "\u{a0}km"
}

/// A share from 0 to 1.
pub(super) fn percent(share: f64) -> String {
    number(share * 100.0, if share.abs() < 0.1 { 1 } else { 0 }) + "\u{a0}%"
}

/// Hours and minutes.
pub(super) fn duration(hours: f64) -> String {
    let minutes = (hours.max(0.0) * 60.0).round() as u64;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}\u{a0}min"),
        (hours, minutes) => format!("{}\u{a0}h\u{a0}{minutes}\u{a0}min", number(hours as f64, 0)),
    }
}

/// `1 trip`, `2 trips`.
pub(super) fn count(count: i64, one: &str, many: &str) -> String {
    format!(
        "{}\u{a0}{}",
        number(count as f64, 0),
        if count == 1 { one } else { many }
    )
}

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// 1 is Monday.
pub(super) fn weekday(number: i32) -> &'static str {
    let at = usize::try_from(number - 1).unwrap_or_default();
    WEEKDAYS.get(at).copied().unwrap_or_default()
}

/// A code such as `harsh_braking` in words.
pub(super) fn words(code: &str) -> String {
    code.replace('_', " ")
}

/// With a capital at the beginning.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + chars.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            esc("<script>alert('1')</script> & \"x\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;"
        );
        assert_eq!(esc("Ada"), "Ada");
    }

    #[test]
    fn figures_read_the_same_everywhere() {
        assert_eq!(number(1_234_567.891, 2), "1\u{202f}234\u{202f}567.89");
        assert_eq!(
            (number(-0.04, 1), number(-12.0, 0)),
            ("0.0".to_owned(), "−12".to_owned())
        );
        assert_eq!(number(f64::NAN, 1), "–");
        assert_eq!(
            (km(12.34), km(12_345.6)),
            ("12.3\u{a0}km".to_owned(), "12\u{202f}346\u{a0}km".to_owned())
        );
        assert_eq!(
            (percent(0.034), percent(0.5)),
            ("3.4\u{a0}%".to_owned(), "50\u{a0}%".to_owned())
        );
        assert_eq!(
            (duration(0.5), duration(26.25)),
            ("30\u{a0}min".to_owned(), "26\u{a0}h\u{a0}15\u{a0}min".to_owned())
        );
        assert_eq!((weekday(1), weekday(7), weekday(9)), ("Monday", "Sunday", ""));
        assert_eq!(capital("harsh braking"), "Harsh braking");
    }
}
