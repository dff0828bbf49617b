//! CAs kept with openssl, as companies have them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use kubetrust_testkit::{Output, peers, run};

/// A key of the default algorithm, as arguments of `openssl genpkey`.
pub const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// What makes a certificate a CA.
pub const CA: &str = "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n\
                      subjectKeyIdentifier = hash\n";

/// One day.
pub const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A CA in a folder of its own.
pub struct Ca {
    folder: PathBuf,
}

/// How a CA signs, where it does not do just what the request asks.
#[derive(Default)]
pub struct How<'a> {
    /// Extensions in the place of the request's ones.
    pub extensions: &'a str,
    /// None of the request's extensions is copied.
    pub only_those: bool,
    /// Another subject.
    pub subject: Option<&'a str>,
    /// From when it is valid, from now; by default since just now.
    pub from: Option<SignedDuration>,
    /// Until when it is valid, from now; by default a year.
    pub until: Option<SignedDuration>,
}

impl Ca {
    /// One that was made in that folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// A root of ten years.
    pub fn root(folder: &Path, subject: &str, key: &[&str]) -> Self {
        let ca = Self::with_key(folder, key);
        let config = ca.write("root.cnf", &format!("[req]\ndistinguished_name = dn\n[dn]\n[ca]\n{CA}"));
        openssl([
            "req",
            "-x509",
            "-new",
            "-batch",
            "-days",
            "3650",
            "-extensions",
            "ca",
            "-subj",
            subject,
        ])
        .arg("-config", &config)
        .arg("-key", &ca.key())
        .arg("-out", &ca.certificate())
        .done();
        ca
    }

    /// A CA below this one.
    pub fn intermediate(&self, folder: &Path, subject: &str, how: &How<'_>) -> Self {
        let ca = Self::with_key(folder, P256);
        let request = ca.request(subject);
        let extensions = format!("{CA}authorityKeyIdentifier = keyid\n{}", how.extensions);
        let how = How {
            extensions: &extensions,
            only_those: true,
            ..*how
        };
        self.sign(&request, &ca.certificate(), &how);
        ca
    }

    fn with_key(folder: &Path, key: &[&str]) -> Self {
        fs::create_dir_all(folder).unwrap();
        let ca = Self::at(folder);
        openssl(["genpkey"].into_iter().chain(key.iter().copied()))
            .arg("-out", &ca.key())
            .done();
        ca.write("index.txt", "");
        ca
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// A request by this CA's own key.
    pub fn request(&self, subject: &str) -> PathBuf {
        let config = self.write("request.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
        let request = self.folder.join("ca.csr");
        openssl(["req", "-new", "-batch", "-subj", subject])
            .arg("-config", &config)
            .arg("-key", &self.key())
            .arg("-out", &request)
            .done();
        request
    }

    /// Signs as `openssl ca` does, for whatever has to be otherwise than the request has it.
    pub fn sign(&self, request: &Path, certificate: &Path, how: &How<'_>) {
        let copy = if how.only_those { "none" } else { "copy" };
        let optional: String = ["C", "ST", "L", "O", "OU", "DC", "CN"]
            .map(|attribute| format!("{attribute} = optional\n"))
            .concat();
        let folder = self.folder.display();
        let config = self.write(
            "ca.cnf",
            &format!(
                "[ca]\ndefault_ca = this\n[this]\ndatabase = {folder}/index.txt\nnew_certs_dir = {folder}\n\
                 rand_serial = yes\ndefault_md = default\npolicy = any\npreserve = yes\nunique_subject = no\n\
                 copy_extensions = {copy}\n[any]\n{optional}[extensions]\n{}",
                how.extensions
            ),
        );
        let at = |from_now: SignedDuration| (Timestamp::now() + from_now).strftime("%Y%m%d%H%M%SZ").to_string();
        let from = at(how.from.unwrap_or(SignedDuration::from_secs(-5)));
        let until = at(how.until.unwrap_or(DAY * 365));
        let mut openssl = openssl(["ca", "-batch", "-notext", "-startdate", &from, "-enddate", &until]);
        if let Some(subject) = how.subject {
            openssl = openssl.words(["-subj", subject]);
        }
        if !how.extensions.is_empty() {
            openssl = openssl.words(["-extensions", "extensions"]);
        }
        openssl
            .arg("-config", &config)
            .arg("-cert", &self.certificate())
            .arg("-keyfile", &self.key())
            .arg("-in", request)
            .arg("-out", certificate)
            .done();
    }

    /// Signs as `openssl x509` does, what the request asks.
    pub fn sign_simply(&self, request: &Path, certificate: &Path) {
        openssl(["x509", "-req", "-days", "365", "-copy_extensions", "copy"])
            .arg("-CA", &self.certificate())
            .arg("-CAkey", &self.key())
            .arg("-in", request)
            .arg("-out", certificate)
            .done();
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// A call of openssl.
pub struct Openssl(std::process::Command);

/// Begins a call.
pub fn openssl<'a>(words: impl IntoIterator<Item = &'a str>) -> Openssl {
    let mut command = peers::openssl();
    command.args(words);
    Openssl(command)
}

impl Openssl {
    pub fn words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(words);
        self
    }

    pub fn arg(mut self, flag: &str, path: &Path) -> Self {
        self.0.arg(flag).arg(path);
        self
    }

    pub fn path(mut self, path: &Path) -> Self {
        self.0.arg(path);
        self
    }

    #[track_caller]
    pub fn done(mut self) -> Output {
        run(&mut self.0).success()
    }

    #[track_caller]
    pub fn refused(mut self) -> Output {
        run(&mut self.0).failure()
    }
}

/// The public key of a certificate, a request or a key, in PEM.
#[track_caller]
pub fn public_key(path: &Path) -> String {
    let call = match path.extension().and_then(|extension| extension.to_str()) {
        Some("crt") => openssl(["x509", "-noout", "-pubkey"]),
        Some("csr") => openssl(["req", "-noout", "-pubkey"]),
        _ => openssl(["pkey", "-pubout"]),
    };
    call.arg("-in", path).done().stdout
}
