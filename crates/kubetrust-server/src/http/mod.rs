//! What HTTP and Kubernetes' API conventions say about requests and answers.

pub mod accept;
pub mod body;
pub mod query;
pub mod request_info;
pub mod respond;
