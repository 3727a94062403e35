// Image::apply while memory runs out: this program's operator new fails where a test says so.
#include "replay/history.hpp"

#include <cstdlib>
#include <new>

namespace {
// Allocations that still succeed; negative: all do.
thread_local long allocations_left = -1;

void* allocate(std::size_t size) {
    if (allocations_left == 0) throw std::bad_alloc();
    if (allocations_left > 0) --allocations_left;
    if (void* const p = std::malloc(size == 0 ? 1 : size)) return p;
    throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace mmsb::replay::test {
namespace {

// How many allocations it took; at each of them it failed once and changed nothing.
long apply_with_failures(Image& image, const log::Record& record) {
    const Image before = image;
    for (long n = 0;; ++n) {
        bool failed = false;
        std::string problem;
        allocations_left = n;
        try {
            problem = image.apply(record);
        } catch (const std::bad_alloc&) {
            failed = true;
        }
        allocations_left = -1;
        if (!failed) {
            EXPECT_EQ(problem, "");
            return n;
        }
        expect_same(before, image);
    }
}

TEST(ImageMemory, RunsOutAnywhereAndNothingHasChanged) {
    for_each_seed(10, [](std::uint64_t seed) {
        RandomHistory history(seed);
        Recorder recorder;
        Image image;
        for (std::uint64_t sequence = 1; sequence <= 40; ++sequence) {
            const auto record = recorder.commit(history.next(sequence));
            apply_with_failures(image, record);
            recorder.accept(record);
            image.check_invariants();
        }
        EXPECT_EQ(image.pages().size(), history.model().size());
    });
}

TEST(ImageMemory, IsNotAllocatedForAPlainChangeOfBytes) {
    Recorder recorder;
    Image image;
    recorder.apply(image, {{.page = PageId{1}, .size = 64, .created = true, .line = 0},
                           {.page = PageId{2}, .size = 64, .created = true, .line = 1}});
    Bytes after(64);
    for (std::uint64_t epoch = 1; epoch != 4; ++epoch) {
        after[epoch] = static_cast<std::byte>(epoch);
        const auto delta = delta_of(Bytes(64), after);
        const auto record = recorder.commit(
            {{.page = PageId{1}, .epoch = Epoch{epoch}, .size = 64, .delta = delta},
             {.page = PageId{2}, .epoch = Epoch{epoch}, .size = 64, .delta = delta}});
        const auto allocations = apply_with_failures(image, record);
        recorder.accept(record);
        if (epoch != 1) {
            EXPECT_EQ(allocations, 0);
        }
    }
    EXPECT_EQ(image.find(PageId{2})->bytes, after);
}

}  // namespace
}  // namespace mmsb::replay::test
