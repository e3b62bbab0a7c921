//! TLS below a connection to a builder, and words for what goes wrong with certificates.

use super::address::Certificates;
use crate::model::reason::cause;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

/// What a connection needs for TLS.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) server: ServerName<'static>,
}

impl Tls {
    /// Reads the certificates; the other side has that of `host`, unless another name is given.
    pub(super) fn load(files: &Certificates, host: &str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match &files.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            None => system(&mut roots)?,
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(roots);
        let mut config = match &files.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("cannot read the key {}: {}", key.display(), pem(error)))?;
                let refused = |error| format!("{} with {}: {error}", certificate.display(), key.display());
                builder.with_client_auth_cert(chain, secret).map_err(refused)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = files.server.as_deref().unwrap_or(host).to_owned();
        let server =
            ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is no name of a server"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| format!("cannot read the certificate {}: {}", path.display(), pem(error));
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    match all.is_empty() {
        true => Err(failed(rustls::pki_types::pem::Error::NoItemsFound)),
        false => Ok(all),
    }
}

fn pem(error: rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) => cause(&error),
        Error::NoItemsFound => "there is none in it (PEM is expected, a key without a passphrase)".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(not(target_os = "macos"))]
fn system(roots: &mut RootCertStore) -> Result<(), String> {
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match added {
        0 => Err("the system has no certificate authorities: cacert= names one".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(target_os = "macos")]
fn system(_: &mut RootCertStore) -> Result<(), String> {
    Err("the system's certificate authorities are not read here: cacert= names one".to_owned())
}

/// Words for an error of TLS that is somewhere in the causes of another one.
pub(super) fn words(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
        let inner = inner.or_else(|| error.downcast_ref::<io::Error>());
        let inner =
            inner.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(error) = inner.or_else(|| error.downcast_ref()) {
            return Some(said(error));
        }
        next = error.source();
    }
    None
}

fn said(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not signed by a known authority: cacert= names the one that did".to_owned()
        }
        E::InvalidCertificate(why) => format!("its certificate is refused: {why}"),
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a certificate of ours: cert= and key= name it".to_owned()
        }
        E::AlertReceived(alert) => format!("it refuses our certificate, or TLS as we speak it: {alert:?}"),
        E::InvalidMessage(_) => "it does not speak TLS: there is to be no cacert=, cert= or key=".to_owned(),
        error => format!("TLS: {error}"),
    }
}
