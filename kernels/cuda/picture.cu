// Defines the kernels of pictures: output samples, motion compensation, the floor, the output filter.
#include "kernels/cuda/filter.hpp"
#include "kernels/cuda/floor.hpp"
#include "kernels/cuda/motion.hpp"

using namespace dcvc::cuda;

GPU_KERNEL(picture_bytes, kPictureThreads, 4, 0, ExportArguments, export_planes)
GPU_KERNEL(picture_planes, kPictureThreads, 4, 0, PlanesArguments, filter_planes)
GPU_KERNEL(samples_of_plane, kPictureThreads, 4, 0, SamplesArguments, plane_samples)
GPU_KERNEL(picture_samples, kPictureThreads, 4, 0, FineArguments, fine_planes)
GPU_KERNEL(picture_rgb, kPictureThreads, 4, 0, FineArguments, fine_rgb)
GPU_KERNEL(compensate_squares, kMotionThreads, 8, kMotionBytes, MotionArguments, compensate)
GPU_KERNEL(apply_floor, kFloorThreads, 8, kFloorBytes, FloorArguments, floor_parts)
GPU_KERNEL(filter_block_sums, kPictureThreads, 4, 0, FilterArguments, filter_sums)
GPU_KERNEL(filter_luma, kPictureThreads, 4, 0, FilterArguments, filter<false>)
GPU_KERNEL(filter_chroma, kPictureThreads, 4, 0, FilterArguments, filter<true>)
