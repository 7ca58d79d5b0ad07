"""Examples of the man pages: what a command line does, and the line. tests/contracts/test_man_pages.py reads each."""

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "dcvc": (
        (
            "Encode a clip and decode it again.",
            "dcvc encode clip.y4m -o clip.dcvc && dcvc decode clip.dcvc -o back.y4m",
        ),
        ("Complete commands and options in this shell from now on.", "dcvc --install-completion"),
    ),
    "dcvc-encode": (
        (
            "Code one chunk of a plan, on any machine.",
            "dcvc encode film.mkv --chunk plan.json:7 -o parts/7.dcvc --skip-existing",
        ),
        (
            "Finer than the default, with a report of every frame.",
            "dcvc encode clip.y4m -o clip.dcvc --qp 40 --psnr --csv frames.csv",
        ),
        ("A film with its sound and subtitles.", "dcvc encode film.mp4 -o film.dcvc"),
        ("Pictures from a pipe.", "ffmpeg -i in.mov -pix_fmt yuv420p -f yuv4mpegpipe - | dcvc encode - -o out.dcvc"),
        (
            "Many clips, two at once; a second run does what is missing.",
            "dcvc encode *.y4m -o streams/ --jobs 2 --skip-existing",
        ),
        (
            "Raw pictures, whose size and rate nobody else says.",
            "dcvc encode in.yuv -o out.dcvc --input-res 1920x1080 --fps 30000/1001",
        ),
    ),
    "dcvc-decode": (
        (
            "The whole film again, pictures coded with x264.",
            "dcvc decode film.dcvc -o film.mkv --codec 'libx264 crf=18'",
        ),
        ("A PNG folder of ten frames.", "dcvc decode clip.dcvc -o pictures/ --seek 100 --frames 10"),
        ("Check a stream without writing anything.", "dcvc decode clip.dcvc -o null"),
        ("The MD5 that ffmpeg -f md5 prints.", "dcvc decode clip.dcvc --md5"),
        ("What a damaged stream still has.", "dcvc decode cut.dcvc -o rest.y4m --on-error conceal"),
    ),
    "dcvc-play": (("From frame 500 on.", "dcvc play film.dcvc --seek 500"),),
    "dcvc-info": (
        ("Parameters and frames.", "dcvc info clip.dcvc"),
        ("The bitrate for a script.", "dcvc info clip.dcvc --json --no-frame-table | jq .bitrate_kbps"),
        ("Every rule of the format.", "dcvc info clip.dcvc --validate"),
    ),
    "dcvc-remux": (
        ("To the published codec's stream.", "dcvc remux clip.dcvc -o clip.bin"),
        ("Into a Matroska file.", "dcvc remux clip.dcvc -o clip.mkv"),
        ("Out of it again, byte for byte.", "dcvc remux clip.mkv -o same.dcvc"),
    ),
    "dcvc-farm": (("Code two films on this machine's cores.", "dcvc farm encode a.mkv b.mkv -o streams"),),
    "dcvc-farm-encode": (
        (
            "Code films on a cluster, with four CPUs a chunk.",
            "dcvc farm encode a.mkv b.mkv -o streams --address ray://head:10001 --threads 4",
        ),
        ("Go on after the driver or a machine died.", "dcvc farm encode a.mkv b.mkv -o streams --resume"),
    ),
    "dcvc-plan": (("Split a film at its scenes, for many machines.", "dcvc plan film.mkv -o plan.json --qp 40"),),
    "dcvc-concat": (
        ("Join the chunks of a plan.", "dcvc concat --plan plan.json parts -o film.dcvc"),
        ("Join streams without decoding them.", "dcvc concat one.dcvc two.dcvc -o both.dcvc"),
        ("Make a whole stream of a damaged one.", "dcvc concat --repair cut.dcvc -o whole.dcvc"),
    ),
    "dcvc-bench": (("Frames a second of small pictures.", "dcvc bench --size 416x240 --frames 8"),),
    "dcvc-doctor": (("What is missing on this machine.", "dcvc doctor"),),
    "dcvc-conformance": (("Compare with the cases of a folder.", "dcvc conformance cases/"),),
    "dcvc-compare": (
        (
            "Two result files against an anchor.",
            "dcvc compare --anchor x265=x265.json --test dcvc=dcvc.json --html report.html",
        ),
    ),
    "dcvc-eval": (
        ("Rate and distortion of the clips of a test configuration.", "dcvc eval clips.json -o results.json"),
    ),
    "dcvc-models": (("What weights are here.", "dcvc models list"),),
    "dcvc-models-add": (
        ("The published checkpoints.", "dcvc models add cvpr2025_image.pth.tar cvpr2025_video.pth.tar"),
    ),
    "dcvc-models-list": (("All weights and their fingerprints.", "dcvc models list"),),
    "dcvc-models-quantize": (
        ("An exact form for weights of your own.", "dcvc models quantize mine clip.y4m -o mine-exact.safetensors"),
    ),
    "dcvc-models-remove": (("Weights that nobody needs any more.", "dcvc models remove mine"),),
    "dcvc-models-show": (("Parameters of the weights in the box.", "dcvc models show lite"),),
    "dcvc-models-verify": (("That no file has changed.", "dcvc models verify lite"),),
    "dcvc-train": (("I frames first, then P frames.", "dcvc train image --config lite-image --data photos/ -o run/"),),
    "dcvc-train-image": (
        ("By the recipe of the weights in the box.", "dcvc train image --config lite-image --data photos/ -o run/"),
    ),
    "dcvc-train-video": (
        (
            "After the image model.",
            "dcvc train video --config lite-video --data clips/ -o run2/ --image-checkpoint run/checkpoint.pt",
        ),
    ),
    "dcvc-train-export": (
        (
            "Weights of the trained models.",
            "dcvc train export run/checkpoint.pt run2/checkpoint.pt -o mine.safetensors",
        ),
    ),
}
