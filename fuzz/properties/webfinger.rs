//! A WebFinger answer is read, written and read again alike; members that nobody knows do no harm.

use super::shared::is_written_again_alike;
use types::webfinger::ResourceDescriptor;

pub(crate) fn holds(data: &[u8]) {
    is_written_again_alike::<ResourceDescriptor>(data);
}
