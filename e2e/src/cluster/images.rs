//! Container images without a registry: built by buildah, kept in the cache by what they are made
//! of, and imported into the node. A pod names them with `imagePullPolicy: Never` or
//! `IfNotPresent`. No build may reach for the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use super::programs::{coredns, pause, rootfs};
use crate::tools::{binary, cache, cached, digest_of, repository, version};

static BUILDING: Mutex<()> = Mutex::new(());

/// A built image, as an archive in the cache.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    tag: String,
    archive: PathBuf,
}

/// What an image is built of: a Dockerfile, and files beside it.
#[derive(Clone, Debug)]
pub struct Context {
    dockerfile: String,
    files: Vec<(PathBuf, String, bool)>,
    base: Option<Image>,
}

impl Context {
    /// With this Dockerfile.
    #[must_use]
    pub fn new(dockerfile: &str) -> Self {
        Self { dockerfile: dockerfile.to_owned(), files: Vec::new(), base: None }
    }

    /// Adds a file under that name.
    #[must_use]
    pub fn file(mut self, path: PathBuf, name: &str) -> Self {
        self.files.push((path, name.to_owned(), false));
        self
    }

    /// Adds a program of this workspace, without its debugging information.
    #[must_use]
    pub fn program(mut self, name: &str) -> Self {
        self.files.push((binary(name), name.to_owned(), true));
        self
    }

    /// Gives that image as the build argument `BASE`.
    #[must_use]
    pub fn base(mut self, image: Image) -> Self {
        self.base = Some(image);
        self
    }

    /// The folder that the build sees.
    fn write(&self) -> TempDir {
        let dir = TempDir::with_prefix("vestibule-image-").expect("a temporary folder");
        fs::write(dir.path().join("Dockerfile"), &self.dockerfile).expect("writable");
        for (path, name, strip) in &self.files {
            let target = dir.path().join(name);
            let mut command = Command::new(if *strip { "strip" } else { "cp" });
            if *strip {
                command.arg("-g").arg(path).arg("-o").arg(&target);
            } else {
                command.arg(path).arg(&target);
            }
            let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
            assert!(status.success(), "{command:?} fails");
        }
        dir
    }

    fn digest(&self) -> String {
        let dir = TempDir::new().expect("a temporary folder");
        let recipe = dir.path().join("recipe");
        let base = self.base.as_ref().map(Image::reference);
        let names: Vec<_> = self.files.iter().map(|(_, name, strip)| (name, strip)).collect();
        fs::write(&recipe, format!("{}\n{names:?}\n{base:?}", self.dockerfile)).expect("writable");
        let mut files = vec![recipe.as_path()];
        files.extend(self.files.iter().map(|(path, ..)| path.as_path()));
        digest_of(&files)
    }
}

impl Image {
    /// Builds `localhost/NAME`, tagged by its content, unless the cache has it.
    #[must_use]
    pub fn build(name: &str, context: &Context) -> Self {
        let digest = context.digest();
        let tag = &digest[..12];
        Self::build_as(name, tag, &digest, context)
    }

    /// Builds `localhost/NAME:TAG`: for what must be found under a version.
    #[must_use]
    pub fn build_tagged(name: &str, tag: &str, context: &Context) -> Self {
        Self::build_as(name, tag, &context.digest(), context)
    }

    fn build_as(name: &str, tag: &str, digest: &str, context: &Context) -> Self {
        let folder = cache().join("images");
        fs::create_dir_all(&folder).expect("a writable cache");
        let archive = folder.join(format!("{name}@{tag}@{digest}.tar"));
        let image = Self { name: name.to_owned(), tag: tag.to_owned(), archive };
        // Several tests want the same one at once.
        let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        if !image.archive.exists() {
            image.make(context);
            image.prune(&folder);
        }
        image
    }

    /// Removes older ones of its name, since programs change all the time. The latest few stay, for
    /// two versions of one image in one test.
    fn prune(&self, folder: &Path) {
        let prefix = format!("{}@", self.name);
        let mut same: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .collect();
        same.sort_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
        let surplus = same.len().saturating_sub(3);
        for entry in same.into_iter().take(surplus) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// What a pod names.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}:{}", self.repository(), self.tag)
    }

    /// The name without its tag.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("localhost/{}", self.name)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Its `docker save` archive.
    pub(super) fn archive(&self) -> &Path {
        &self.archive
    }

    fn make(&self, context: &Context) {
        let dir = context.write();
        let store = TempDir::with_prefix("vestibule-buildah-").expect("a temporary folder");
        let policy = store.path().join("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).expect("write");
        let buildah = |arguments: &[&str]| {
            let mut command = Command::new("buildah");
            command.env("BUILDAH_ISOLATION", "chroot").env("STORAGE_DRIVER", "vfs");
            command.arg("--root").arg(store.path().join("root"));
            command.arg("--runroot").arg(store.path().join("run"));
            command.arg(arguments[0]).arg("--signature-policy").arg(&policy).args(&arguments[1..]);
            let output = command.output().unwrap_or_else(|error| panic!("buildah: {error}"));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "buildah {arguments:?}: {said}");
        };
        let reference = self.reference();
        let folder = dir.path().display().to_string();
        let mut arguments = vec!["bud", "--pull-never", "--tag", &reference];
        let base_argument;
        if let Some(base) = &context.base {
            buildah(&["pull", &format!("docker-archive:{}", base.archive.display())]);
            base_argument = format!("BASE={}", base.reference());
            arguments.extend(["--build-arg", &base_argument]);
        }
        arguments.push(&folder);
        buildah(&arguments);
        // Under its name only when whole.
        let part = self.archive.with_extension(format!("{}.part", std::process::id()));
        let target = format!("docker-archive:{}:{reference}", part.display());
        buildah(&["push", "--quiet", &reference, &target]);
        fs::rename(&part, &self.archive).expect("a writable cache");
    }
}

impl Image {
    /// The program of every pod's sandbox.
    pub(super) fn pause() -> Self {
        let dockerfile = "FROM scratch\nCOPY pause /pause\nUSER 65532\nENTRYPOINT [\"/pause\"]\n";
        Self::build("pause", &Context::new(dockerfile).file(pause(), "pause"))
    }

    /// `CoreDNS`.
    pub(super) fn coredns() -> Self {
        let dockerfile =
            "FROM scratch\nCOPY coredns /coredns\nUSER 65532\nENTRYPOINT [\"/coredns\"]\n";
        Self::build("coredns", &Context::new(dockerfile).file(coredns(), "coredns"))
    }

    /// What a distroless base holds, made from the distribution's packages.
    #[must_use]
    pub fn base() -> Self {
        Self::build("base", &Context::new(ROOTFS).file(rootfs("base"), "rootfs.tar"))
    }

    /// Redis. It has no shell; its programs are `redis-server` and `redis-cli`.
    #[must_use]
    pub fn redis() -> Self {
        let dockerfile = format!("{ROOTFS}WORKDIR /data\nENTRYPOINT [\"redis-server\"]\n");
        Self::build("redis", &Context::new(&dockerfile).file(rootfs("redis"), "rootfs.tar"))
    }

    /// Traefik.
    #[must_use]
    pub fn traefik() -> Self {
        let dockerfile = "ARG BASE\nFROM ${BASE}\nCOPY traefik /usr/local/bin/traefik\n\
                          ENTRYPOINT [\"traefik\"]\n";
        let program = cached(&format!("traefik-{}/traefik", version("TRAEFIK_VERSION")));
        let context = Context::new(dockerfile).base(Self::base()).file(program, "traefik");
        Self::build("traefik", &context)
    }

    /// The echo app, on port 8000.
    #[must_use]
    pub fn echo() -> Self {
        let dockerfile = "ARG BASE\nFROM ${BASE}\nCOPY echo /usr/local/bin/echo\n\
                          ENTRYPOINT [\"/usr/local/bin/echo\"]\nCMD [\"0.0.0.0:8000\"]\n";
        Self::build("echo", &Context::new(dockerfile).base(Self::base()).program("echo"))
    }

    /// Vestibule, from the repository's Dockerfile.
    #[must_use]
    pub fn vestibule() -> Self {
        Self::build("vestibule", &Self::vestibule_context())
    }

    /// What [`Image::vestibule`] is built of.
    #[must_use]
    pub fn vestibule_context() -> Context {
        let dockerfile = repository().join("Dockerfile");
        let dockerfile = fs::read_to_string(dockerfile).expect("the repository's Dockerfile");
        let context = Context::new(&dockerfile).base(Self::base());
        ["vestibule-authsvc", "vestibule-operator", "vestibule"]
            .into_iter()
            .fold(context, Context::program)
    }
}

const ROOTFS: &str = "FROM scratch\nADD rootfs.tar /\nUSER 65532:65532\n\
                      ENV PATH=/usr/local/bin:/usr/bin:/bin\n";
