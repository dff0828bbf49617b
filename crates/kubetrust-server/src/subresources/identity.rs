//! `SelfSubjectReview`: who am I (`kubectl auth whoami`).

use hyper::body::Incoming;
use kubetrust_api::status::Status;
use kubetrust_auth::user::User;
use serde_json::{Value, json};

use crate::endpoints::resource::Call;
use crate::http::respond::Reply;

/// Answers with the user that the request is made as.
pub async fn own(call: &mut Call<'_>, incoming: Incoming) -> Result<Reply, Status> {
    let mut review = call.posted(incoming).await?;
    call.admit(&review).await?;
    review["metadata"]["creationTimestamp"] = kubetrust_api::meta::time(call.style.now).into();
    review["status"] = json!({"userInfo": user_info(&call.identity.user)});
    Ok(call.answer(&review))
}

/// `authentication/v1 UserInfo`; what is empty is left out.
pub fn user_info(user: &User) -> Value {
    let mut info = serde_json::Map::new();
    info.insert("username".into(), user.name.clone().into());
    if !user.uid.is_empty() {
        info.insert("uid".into(), user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    Value::Object(info)
}
