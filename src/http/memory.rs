//! Memory of responses under way, bounded for all connections together.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::error::HttpError;
use crate::config::Limits;

/// Unit of reservations in bytes.
const UNIT: usize = 1024;

/// Smallest size of a page: the largest item fits.
const MIN_PAGE: usize = 128 * 1024;

/// A page takes at most one of so many parts of the free memory, so that pages become shorter before memory runs out.
const PARTS: usize = 8;

/// Size of a body up to which it needs no reservation. Connections buffer as much.
const UNRESERVED: usize = 32 * 1024;

/// Memory for the bodies of responses under way.
pub struct ResponseMemory {
    free: Arc<Semaphore>,
    units: usize,
    page_bytes: usize,
    wait: Duration,
}

impl ResponseMemory {
    /// Memory of the size in the settings. `wait` is the time to wait for free memory.
    pub fn new(limits: &Limits, wait: Duration) -> Self {
        let units = limits.response_bytes / UNIT;
        Self {
            free: Arc::new(Semaphore::new(units)),
            units,
            page_bytes: limits.page_bytes,
            wait,
        }
    }

    /// Reserves memory for a page, of `limits.page_bytes` or less if little is free.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyResponses`] if no memory becomes free in time.
    pub async fn reserve_page(&self) -> Result<Reservation, HttpError> {
        let share = self.free.available_permits() * UNIT / PARTS;
        let smallest = MIN_PAGE.min(self.page_bytes);
        self.reserve(share.clamp(smallest, self.page_bytes)).await
    }

    /// Reserves memory for a body.
    ///
    /// # Errors
    ///
    /// Same as [`ResponseMemory::reserve_page`].
    async fn reserve(&self, bytes: usize) -> Result<Reservation, HttpError> {
        let units = bytes.div_ceil(UNIT).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let reserved = timeout(self.wait, self.free.clone().acquire_many_owned(units)).await;
        match reserved {
            Ok(Ok(permit)) => Ok(Reservation(permit)),
            _ => Err(HttpError::TooManyResponses),
        }
    }

    /// Makes the body of a response, which holds its memory until the client has taken it. `reserved` is what was
    /// reserved before the body was made.
    ///
    /// # Errors
    ///
    /// Same as [`ResponseMemory::reserve_page`].
    pub async fn body(
        &self,
        body: Bytes,
        reserved: Option<Reservation>,
    ) -> Result<BoxBody, HttpError> {
        if body.len() <= UNRESERVED {
            return Ok(BoxBody::new(body));
        }
        let mut reservation = match reserved {
            Some(reservation) => reservation,
            None => self.reserve(body.len()).await?,
        };
        reservation.shrink_to(body.len());
        Ok(BoxBody::new(Pieces {
            body,
            _reservation: reservation,
        }))
    }
}

/// Memory that is reserved for a response. Dropping it makes it free.
pub struct Reservation(OwnedSemaphorePermit);

impl Reservation {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.0.num_permits() * UNIT
    }

    fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(surplus));
    }
}

/// Body in pieces: a connection buffers one piece, and asks for the next one when the client has taken it.
struct Pieces {
    body: Bytes,
    _reservation: Reservation,
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.body.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.body.len().min(UNRESERVED);
        let piece = self.body.split_to(length);
        Poll::Ready(Some(piece).filter(|piece| !piece.is_empty()).map(Ok))
    }
}
