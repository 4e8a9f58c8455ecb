//! STUN messages over UDP, TCP or TLS (RFC 8489 §6.2).

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::stun::{HEADER_BYTES, Message, message_bytes};
use super::{Endpoint, Protocol, RelayError, TrustStore};

/// Largest datagram read; relayed data fits into an Ethernet frame.
const DATAGRAM_BYTES: usize = 2048;

/// A connection to one address of a relay.
pub(super) enum Transport {
    /// Connected, so that an ICMP "port unreachable" becomes an error of the socket.
    Udp(UdpSocket),
    Stream(FramedStream),
}

/// Messages over a byte stream; each header contains the length (RFC 8489 §6.2.2).
pub(super) struct FramedStream {
    io_stream: Box<dyn ByteStream>,
    /// Bytes of incomplete messages.
    ///
    /// A field, not a local of the reading future: a timeout drops that future, and the bytes would
    /// be lost with it.
    buffer: Vec<u8>,
    certificate: Option<CertificateDer<'static>>,
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Transport {
    /// Connects to `address`; `endpoint` determines the transport and the name to verify in TLS.
    pub(super) async fn open(
        endpoint: &Endpoint,
        address: SocketAddr,
        trust: &TrustStore,
    ) -> Result<Self, RelayError> {
        match endpoint.protocol {
            Protocol::Udp => Ok(Self::Udp(connect_udp(address).await?)),
            Protocol::Tcp => Ok(Self::stream(TcpStream::connect(address).await?, None)),
            Protocol::Tls => Self::tls(&endpoint.host, address, trust).await,
            Protocol::Dtls => Err(RelayError::DtlsUnsupported),
        }
    }

    async fn tls(host: &str, address: SocketAddr, trust: &TrustStore) -> Result<Self, RelayError> {
        let (connector, name) = trust.connector(host)?;
        let tcp = TcpStream::connect(address).await?;
        let tls = connector.connect(name, tcp).await.map_err(tls_error)?;
        let shown = tls.get_ref().1.peer_certificates();
        let certificate = shown.and_then(<[_]>::first).map(|leaf| leaf.clone().into_owned());
        Ok(Self::stream(tls, certificate))
    }

    fn stream(
        io_stream: impl ByteStream + 'static,
        certificate: Option<CertificateDer<'static>>,
    ) -> Self {
        Self::Stream(FramedStream {
            io_stream: Box::new(io_stream),
            buffer: Vec::new(),
            certificate,
        })
    }

    /// Returns whether requests may be lost and need retransmission.
    pub(super) fn is_unreliable(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// The relay's TLS certificate.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Udp(_) => None,
            Self::Stream(stream) => stream.certificate.as_deref(),
        }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).await.map(drop),
            Self::Stream(stream) => {
                stream.io_stream.write_all(message).await?;
                stream.io_stream.flush().await
            }
        }
    }

    /// Waits for the next message. Cancel safe: see [`FramedStream::buffer`].
    pub(super) async fn receive(&mut self) -> Result<Message, RelayError> {
        match self {
            Self::Udp(socket) => next_datagram(socket).await,
            Self::Stream(stream) => stream.next().await,
        }
    }
}

async fn connect_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Waits for a datagram that is STUN; others are ignored (RFC 8489 §6.3).
async fn next_datagram(socket: &UdpSocket) -> Result<Message, RelayError> {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = Message::decode(&buffer[..length]) {
            return Ok(message);
        }
    }
}

impl FramedStream {
    async fn next(&mut self) -> Result<Message, RelayError> {
        loop {
            if let Some(message) = self.take_message()? {
                return Ok(message);
            }
            if self.io_stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Removes the first message from the buffer, once it is complete.
    fn take_message(&mut self) -> Result<Option<Message>, RelayError> {
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        let length = message_bytes(&self.buffer).ok_or(RelayError::Malformed)?;
        if self.buffer.len() < length {
            return Ok(None);
        }
        let bytes: Vec<_> = self.buffer.drain(..length).collect();
        Message::decode(&bytes).map(Some).ok_or(RelayError::Malformed)
    }
}

/// Unwraps the rustls error inside an `io::Error`.
fn tls_error(error: io::Error) -> RelayError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => RelayError::Tls(error),
        Err(error) => RelayError::Socket(error),
    }
}
