//! `certificate approve` and `deny`.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubetrust_testkit::{peers, run};

use crate::call::Says::{Has, Is};
use crate::call::{BOTH, Kubectl, Row};

#[rustfmt::skip]
const TABLE: &[Row] = &[
    (BOTH, "create -f {dir}/request.yaml", 0, Is("certificatesigningrequest.certificates.k8s.io/good created\ncertificatesigningrequest.certificates.k8s.io/bad created")),
    (BOTH, "get csr", 0, Is("NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION\nbad AGE kubernetes.io/kube-apiserver-client kubernetes-admin <none> Pending\ngood AGE kubernetes.io/kube-apiserver-client kubernetes-admin <none> Pending")),
    (BOTH, "certificate approve good --as=jane", 1, Has(&["Error from server (Forbidden)", "User \"jane\" cannot get resource \"certificatesigningrequests\" in API group \"certificates.k8s.io\" at the cluster scope"])),
    (BOTH, "certificate approve good", 0, Is("certificatesigningrequest.certificates.k8s.io/good approved")),
    (BOTH, "certificate deny bad", 0, Is("certificatesigningrequest.certificates.k8s.io/bad denied")),
    (BOTH, "get csr good bad", 0, Has(&["good AGE kubernetes.io/kube-apiserver-client kubernetes-admin <none> Approved", "bad AGE kubernetes.io/kube-apiserver-client kubernetes-admin <none> Denied"])),
    (BOTH, "get csr good -o jsonpath={.status.conditions[0].reason}", 0, Is("KubectlApprove")),
    (BOTH, "get csr good -o jsonpath={.spec.username},{.spec.groups[0]}", 0, Is("kubernetes-admin,system:masters")),
    (BOTH, "describe csr good", 0, Has(&["Name: good\n", "Requesting User: kubernetes-admin\n", "Status: Approved\n", "Common Name: jane\n", "Organization: dev"])),
    (BOTH, "delete csr good bad", 0, Has(&["certificatesigningrequest.certificates.k8s.io \"good\" deleted\ncertificatesigningrequest.certificates.k8s.io \"bad\" deleted"])),
];

#[test]
fn requests_for_certificates_are_approved_and_denied() {
    let kubectl = Kubectl::start();
    let [key, request] = ["key.pem", "request.pem"].map(|name| kubectl.up.beside().join(name));
    let mut openssl = peers::openssl();
    openssl.args([
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/O=dev/CN=jane",
    ]);
    run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&request)).success();
    let encoded = STANDARD.encode(fs::read(&request).unwrap());
    let manifest = |name: &str| {
        format!(
            "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  \
             request: {encoded}\n  signerName: kubernetes.io/kube-apiserver-client\n  usages: [client auth]\n"
        )
    };
    for version in BOTH {
        kubectl.write(*version, "request.yaml", &["good", "bad"].map(manifest).join("---\n"));
    }
    kubectl.play(TABLE);
}
