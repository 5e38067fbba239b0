//! Object storage: a folder or a bucket.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutPayload, aws::AmazonS3Builder, local::LocalFileSystem, path::Path,
    prefix::PrefixStore,
};

use crate::error::{Result, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeOptions {
    /// `file:///folder` or `s3://bucket/prefix`; the credentials of S3 come from the environment (`AWS_…`).
    pub url: String,
    /// Bytes a file should have.
    pub file_bytes: u64,
}

/// Where the lake is, and how large its files should be.
#[derive(Clone)]
pub(crate) struct Lake {
    objects: Arc<dyn ObjectStore>,
    pub(super) file_bytes: usize,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake")
            .field("objects", &self.objects.to_string())
            .finish_non_exhaustive()
    }
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) changed_at: chrono::DateTime<chrono::Utc>,
}

/// A part of an object: where it begins, and its length.
pub(crate) type Part = (u64, u64);

impl Lake {
    pub(crate) fn open(options: &LakeOptions) -> Result<Self> {
        let unfit = |detail: String| StoreError::Invalid {
            kind: "lake.url",
            detail,
        };
        let objects: Arc<dyn ObjectStore> = if let Some(folder) = options.url.strip_prefix("file://") {
            if !folder.starts_with('/') {
                return Err(unfit(format!("wanted file:///folder, got {}", options.url)));
            }
            std::fs::create_dir_all(folder)
                .map_err(|cause| unfit(format!("the folder {folder} cannot be made: {cause}")))?;
            Arc::new(
                LocalFileSystem::new_with_prefix(folder)
                    .map_err(lake_error)?
                    .with_fsync(true)
                    .with_automatic_cleanup(true),
            )
        } else if let Some(place) = options.url.strip_prefix("s3://") {
            let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
            let bucket = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
            Arc::new(PrefixStore::new(bucket.map_err(lake_error)?, Path::from(prefix)))
        } else {
            let wanted = format!("wanted file:///folder or s3://bucket/prefix, got {}", options.url);
            return Err(unfit(wanted));
        };
        let file_bytes = usize::try_from(options.file_bytes).unwrap_or(usize::MAX);
        Ok(Self { objects, file_bytes })
    }

    /// Stores an object whole, in the place of one that may be there: whoever reads sees the one or the other.
    pub(super) async fn put(&self, path: &str, content: Vec<u8>) -> Result<()> {
        let payload = PutPayload::from(Bytes::from(content));
        self.objects.put(&Path::from(path), payload).await.map_err(lake_error)?;
        Ok(())
    }

    /// `None` where it is not there.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match self.objects.get(&Path::from(path)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(lake_error)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(lake_error(cause)),
        }
    }

    /// Whether an object is there, and as long as it should be.
    pub(crate) async fn holds(&self, path: &str, bytes: u64) -> Result<bool> {
        match self.objects.head(&Path::from(path)).await {
            Ok(found) => Ok(found.size == bytes),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(lake_error(cause)),
        }
    }

    /// Parts of objects, in the order asked for.
    pub(crate) async fn parts(&self, wanted: &[(String, Part)]) -> Result<Vec<Bytes>> {
        let mut by_path: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, (path, _)) in wanted.iter().enumerate() {
            by_path.entry(path).or_default().push(place);
        }
        let mut found = vec![Bytes::new(); wanted.len()];
        for (path, places) in by_path {
            let ranges: Vec<_> = places
                .iter()
                .map(|place| wanted[*place].1)
                .map(|(at, length)| at..at + length)
                .collect();
            let parts = self.objects.get_ranges(&Path::from(path), &ranges).await;
            for (place, part) in places.into_iter().zip(parts.map_err(lake_error)?) {
                found[place] = part;
            }
        }
        Ok(found)
    }

    /// Deletes an object; one that is gone already is gone.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        match self.objects.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(lake_error(cause)),
        }
    }

    /// All there is below a folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Listed>> {
        let found: Vec<_> = self
            .objects
            .list(Some(&Path::from(folder)))
            .try_collect()
            .await
            .map_err(lake_error)?;
        let listed = found.into_iter().map(|meta| Listed {
            path: meta.location.to_string(),
            bytes: meta.size,
            changed_at: meta.last_modified,
        });
        Ok(listed.collect())
    }
}

fn lake_error(cause: object_store::Error) -> StoreError {
    StoreError::Lake(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_none_says_what_was_wanted() {
        for url in ["", "lake", "file://relative", "gs://bucket"] {
            let options = LakeOptions {
                url: url.into(),
                file_bytes: 1,
            };
            let told = Lake::open(&options).unwrap_err().to_string();
            assert!(told.contains("file:///folder"), "{url}: {told}");
        }
    }

    #[tokio::test]
    async fn objects_come_back_whole_and_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let options = LakeOptions {
            url: format!("file://{}/lake", folder.path().display()),
            file_bytes: 1,
        };
        let lake = Lake::open(&options).unwrap();
        lake.put("a/tenant=1/x", b"0123456789".to_vec()).await.unwrap();
        lake.put("a/tenant=1/y", b"abc".to_vec()).await.unwrap();
        let wanted = [
            ("a/tenant=1/x".to_owned(), (7, 2)),
            ("a/tenant=1/y".to_owned(), (0, 3)),
            ("a/tenant=1/x".to_owned(), (0, 1)),
        ];
        assert_eq!(lake.parts(&wanted).await.unwrap(), ["78", "abc", "0"]);
        assert_eq!(lake.list("a").await.unwrap().len(), 2);
        assert_eq!(lake.get("a/tenant=1/y").await.unwrap().unwrap(), "abc");
        for (path, bytes, there) in [("a/tenant=1/y", 3, true), ("a/tenant=1/y", 4, false), ("a/z", 3, false)] {
            assert_eq!(lake.holds(path, bytes).await.unwrap(), there, "{path} of {bytes} bytes");
        }
        lake.delete("a/tenant=1/x").await.unwrap();
        lake.delete("a/tenant=1/x").await.unwrap();
        assert_eq!(lake.get("a/tenant=1/x").await.unwrap(), None);
    }
}
