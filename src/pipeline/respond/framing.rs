//! How an upstream's answer says where its body ends, as the client gets it: one field of our own, or none.

use http::{HeaderValue, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

/// After the body's reader was chosen by the fields as they came. `Err` for codings that aren't understood here:
/// the end of the body would be read in two ways.
pub fn from_upstream(response: &mut ResponseHeader) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    // RFC 9110 §2.5: the version is that of this connection.
    response.set_version(Version::HTTP_11);
    if response.status.is_informational() || response.status == StatusCode::NO_CONTENT {
        response.remove_header(&header::TRANSFER_ENCODING);
        response.remove_header(&header::CONTENT_LENGTH);
        return Ok(());
    }
    unify_transfer_encoding(response)?;
    unify_content_length(response)
}

fn unify_transfer_encoding(response: &mut ResponseHeader) -> Result<()> {
    let codings = response.headers.get_all(header::TRANSFER_ENCODING);
    let (mut fields, mut is_chunked) = (0, true);
    for value in codings {
        fields += 1;
        is_chunked &= value.as_bytes().eq_ignore_ascii_case(b"chunked");
    }
    if !is_chunked {
        return bad_answer("a Transfer-Encoding other than chunked");
    }
    if fields > 1 {
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// The same length, said several times (RFC 9110 §8.6).
fn unify_content_length(response: &mut ResponseHeader) -> Result<()> {
    let mut fields = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = fields.next() else { return Ok(()) };
    let is_plain = !first.as_bytes().is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit);
    if fields.next().is_none() && is_plain {
        return Ok(());
    }
    let said = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let mut lengths =
        said.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let Some(length) = lengths.next().filter(|length| is_length(length)) else {
        return bad_answer("a Content-Length that isn't a number");
    };
    if lengths.any(|other| other != length) {
        return bad_answer("more than one Content-Length");
    }
    let length =
        HeaderValue::from_bytes(length).or_else(|_| bad_answer("a Content-Length that isn't a number"))?;
    response.insert_header(header::CONTENT_LENGTH, length)
}

fn is_length(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn bad_answer<T>(why: &'static str) -> Result<T> {
    Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up())
}

/// A client of HTTP/1.0 knows no chunks (RFC 9112 §6.1): the end of the connection is the end of the body.
pub fn to_old_client(response: &mut ResponseHeader, session: &mut Session) {
    let is_old = matches!(session.req_header().version, Version::HTTP_09 | Version::HTTP_10);
    if is_old && response.remove_header(&header::TRANSFER_ENCODING).is_some() {
        session.set_keepalive(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(fields: &[(&'static str, &'static str)]) -> Option<Vec<String>> {
        let mut response = ResponseHeader::build(200, None).expect("a valid status");
        for (name, value) in fields {
            response.append_header(*name, *value).expect("valid fields");
        }
        from_upstream(&mut response).ok()?;
        let field = |name: &http::HeaderName, value: &HeaderValue| {
            format!("{name}: {}", value.to_str().unwrap_or_default())
        };
        Some(response.headers.iter().map(|(name, value)| field(name, value)).collect())
    }

    #[test]
    fn one_framing_leaves_or_none() {
        let te = "transfer-encoding";
        let cl = "content-length";
        assert_eq!(
            framed(&[(te, "chunked"), (te, "chunked")]),
            Some(vec!["transfer-encoding: chunked".into()])
        );
        for lengths in
            [&[(cl, "5"), (cl, "5")][..], &[(cl, "5, 5")], &[(cl, "5 ,5"), (cl, "5")], &[(cl, "5")]]
        {
            assert_eq!(framed(lengths), Some(vec!["content-length: 5".into()]), "{lengths:?}");
        }
        for bad in [
            &[(te, "identity")][..],
            &[(te, "gzip, chunked")],
            &[(cl, "5"), (cl, "6")],
            &[(cl, "+5")],
            &[(cl, "")],
        ] {
            assert_eq!(framed(bad), None, "{bad:?}");
        }
    }
}
