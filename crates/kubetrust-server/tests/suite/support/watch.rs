//! Reads a watch as it comes: one event a line.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::Client;

/// How long an event may take that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open watch.
pub struct Events {
    body: Incoming,
    read: Vec<u8>,
    /// The event that could not be taken back into the stream.
    ahead: Option<Value>,
    /// How long an event may take.
    patience: Duration,
}

impl Events {
    /// Opens a watch; the code and the Status of the refusal if it is refused.
    pub async fn open(client: &Client, path: &str) -> Result<Self, (u16, Value)> {
        Self::open_as(client, path, "application/json").await
    }

    /// Opens a watch of another form.
    pub async fn open_as(client: &Client, path: &str, accept: &str) -> Result<Self, (u16, Value)> {
        let request = client.build(Method::GET, path, &[("accept", accept)], Bytes::new());
        let reply = client.open(request).await.unwrap();
        let code = reply.status().as_u16();
        if code != 200 {
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            return Err((code, serde_json::from_slice(&body).unwrap_or_default()));
        }
        Ok(Self {
            body: reply.into_body(),
            read: Vec::new(),
            ahead: None,
            patience: PATIENCE,
        })
    }

    /// Lets an event take this long.
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The next event; `None` when the watch is over.
    pub async fn next(&mut self) -> Option<Value> {
        if let Some(event) = self.ahead.take() {
            return Some(event);
        }
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(self.patience, self.body.frame())
                .await
                .expect("no event came in time");
            self.read
                .extend_from_slice(&frame?.ok()?.into_data().unwrap_or_default());
        }
    }

    /// The next event, which has to come.
    pub async fn some(&mut self) -> Value {
        self.next().await.expect("the watch ended")
    }

    /// The next event as `(type, name, resourceVersion)`.
    pub async fn what(&mut self) -> (String, String, u64) {
        Self::described(&self.some().await)
    }

    /// An event as `(type, name, resourceVersion)`.
    pub fn described(event: &Value) -> (String, String, u64) {
        let metadata = &event["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&metadata["name"]),
            text(&metadata["resourceVersion"]).parse().unwrap_or_default(),
        )
    }

    /// The types and names of the next events.
    pub async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            let (kind, name, _) = self.what().await;
            names.push(format!("{kind} {name}"));
        }
        names
    }

    /// Whether nothing comes for a moment.
    pub async fn is_silent(&mut self, moment: Duration) -> bool {
        match tokio::time::timeout(moment, self.next()).await {
            Err(_) => true,
            Ok(event) => {
                self.ahead = event;
                false
            }
        }
    }
}
