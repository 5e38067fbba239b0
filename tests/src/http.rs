//! The API as a client on the network sees it.

use odograph::cli::client::Credentials;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde_json::Value;

/// An API that is being served.
#[derive(Debug, Clone)]
pub struct Api {
    pub url: String,
    client: Client,
}

/// What it answered, read to the end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Api {
    pub fn at(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client: {
                odograph::tls::install();
                Client::new()
            },
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A token by the client-credentials grant, with all the scopes that the client has.
    pub async fn token(&self, credentials: &Credentials) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            credentials.id, credentials.secret
        );
        let answer = Answer::of(self.token_request(&form).send().await).await;
        let token = answer.json()["access_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("no token: {answer:?}"))
    }

    pub fn token_request(&self, form: &str) -> RequestBuilder {
        self.request(Method::POST, "/v1/oauth/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(token).send().await).await
    }

    pub async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, token, path, Some(body)).await
    }

    pub async fn patch(&self, token: &str, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, token, path, Some(body)).await
    }

    pub async fn send(&self, method: Method, token: &str, path: &str, body: Option<&Value>) -> Answer {
        let request = self.request(method, path).bearer_auth(token);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Answer::of(request.send().await).await
    }

    /// A list, read to its end page by page.
    pub async fn every(&self, token: &str, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.get(token, &format!("{path}{joint}limit=7{cursor}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
            let page = answer.json();
            items.extend(page["items"].as_array().expect("a list's items").clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// The document that describes every operation.
    pub async fn openapi(&self) -> Value {
        let answer = Answer::of(self.request(Method::GET, "/openapi.json").send().await).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }
}

impl Answer {
    pub async fn of(response: reqwest::Result<Response>) -> Self {
        let response = response.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        Self { status, headers, text }
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Fails unless this is an RFC 9457 problem of this status, in the one shape that all errors have. Returns its code.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        for field in ["type", "title", "code", "detail", "instance"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "no {field}: {self:?}"
            );
        }
        let request_id = self.header("x-request-id");
        assert!(!request_id.is_empty(), "no request id: {self:?}");
        assert!(
            problem["instance"]
                .as_str()
                .is_some_and(|text| text.contains(request_id)),
            "{self:?}"
        );
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}
