//! An etcd client with nothing around it: one HTTP/2 connection over mutual TLS, one message a call.

use std::fs;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kubetrust_store::etcd::Options;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

/// The messages of `api/etcdserverpb/rpc.proto` that a create takes, as kube-apiserver makes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Txn {
    #[prost(message, optional, tag = "1")]
    compare: Option<Compare>,
    #[prost(message, optional, tag = "2")]
    success: Option<Success>,
    #[prost(message, optional, tag = "3")]
    failure: Option<Failure>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Compare {
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
    #[prost(int64, optional, tag = "6")]
    mod_revision: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Success {
    #[prost(message, optional, tag = "2")]
    put: Option<Put>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Failure {
    #[prost(message, optional, tag = "1")]
    range: Option<Range>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

/// `Compare.target` of the revision of the last put.
const MOD: i32 = 2;

/// The connection.
#[derive(Clone)]
pub struct Bare {
    send: SendRequest<Body>,
    origin: http::Uri,
}

impl Bare {
    /// To the first of the servers.
    pub async fn connect(options: &Options) -> Self {
        let origin: http::Uri = options.servers[0].parse().unwrap();
        let read = |file: &Option<std::path::PathBuf>| fs::read(file.as_ref().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let files = &options.files;
        roots
            .add(CertificateDer::from_pem_slice(&read(&files.cafile)).unwrap())
            .unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&read(&files.certfile)).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&read(&files.keyfile)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let host = origin.host().unwrap().to_owned();
        let tcp = TcpStream::connect((host.as_str(), origin.port_u16().unwrap()))
            .await
            .unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from(host).unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Self { send, origin }
    }

    /// Puts a key that must not be there.
    pub async fn create(self, key: String, value: Bytes) {
        let origin = self.origin.clone();
        let key = Bytes::from(key);
        let message = Txn {
            compare: Some(Compare {
                target: MOD,
                key: key.clone(),
                mod_revision: Some(0),
            }),
            success: Some(Success {
                put: Some(Put {
                    key: key.clone(),
                    value,
                }),
            }),
            failure: Some(Failure {
                range: Some(Range { key }),
            }),
        };
        let mut grpc = Grpc::with_origin(self, origin);
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Txn");
        let codec = ProstCodec::<Txn, Answer>::default();
        let answer = grpc.unary(tonic::Request::new(message), path, codec).await.unwrap();
        assert!(answer.into_inner().succeeded);
    }
}

impl tower_service::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.send.send_request(request).boxed()
    }
}
