"""Files of the application in S3: two buckets, by name, never open to strangers."""

from processors.storage.bucket import Bucket, ObjectInfo
from processors.storage.client import Storage
from processors.storage.place import InvalidStorage, StoragePlace
from processors.storage.trouble import ObjectMissing, StorageUnavailable
from processors.storage.upload import Upload

__all__ = [
    "Bucket",
    "InvalidStorage",
    "ObjectInfo",
    "ObjectMissing",
    "Storage",
    "StoragePlace",
    "StorageUnavailable",
    "Upload",
]
